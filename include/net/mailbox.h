/*
 * mailbox.h - how messages get into a loop from other threads: many post, one takes.
 *
 * One atomic pointer and an eventfd. The receiver says when it goes to sleep, and only then does a
 * post cost a system call; an awake receiver finds the messages when its turn ends.
 *
 *     head   NULL      empty, the receiver is awake
 *            asleep    empty, the receiver waits for the eventfd
 *            message   the newest message, from there through next to the oldest
 *
 * Thread: mailbox_post any, the others the receiver's. For loop.c and the fake loop only.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "loop.h"

struct mailbox {
    struct message *_Atomic head;
    struct message asleep; /* never taken; its address marks the state */
    int fd;                /* owned eventfd, non-blocking */
};

int mailbox_init(struct mailbox *mailbox);
/* Messages still inside are forgotten. */
void mailbox_done(struct mailbox *mailbox);
void mailbox_post(struct mailbox *mailbox, struct message *message);
/* All messages, oldest first, or NULL. The receiver is awake from now on. */
struct message *mailbox_take(struct mailbox *mailbox);
/* False if there are messages; else the next post makes the eventfd readable. */
bool mailbox_sleep(struct mailbox *mailbox);
/* Whether the receiver sleeps, with nothing posted since. Any thread. */
bool mailbox_is_asleep(const struct mailbox *mailbox);
