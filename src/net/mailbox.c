#include "mailbox.h"

#include <errno.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <unistd.h>

int
mailbox_init(struct mailbox *mailbox)
{
    const int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    if (fd < 0)
        return -errno;
    atomic_init(&mailbox->head, NULL);
    mailbox->fd = fd;
    return 0;
}

void
mailbox_done(struct mailbox *mailbox)
{
    (void)close(mailbox->fd);
    mailbox->fd = -1;
}

void
mailbox_post(struct mailbox *mailbox, struct message *message)
{
    struct message *head = atomic_load_explicit(&mailbox->head, memory_order_relaxed);

    do
        message->next = head == &mailbox->asleep ? NULL : head;
    while (!atomic_compare_exchange_weak_explicit(&mailbox->head, &head, message,
                                                  memory_order_release, memory_order_relaxed));
    if (head == &mailbox->asleep)
        (void)eventfd_write(mailbox->fd, 1); /* can only fail when it is readable anyway */
}

static struct message *
message_reverse(struct message *newest)
{
    struct message *oldest = NULL;

    while (newest != NULL) {
        struct message *next = newest->next;

        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

struct message *
mailbox_take(struct mailbox *mailbox)
{
    struct message *head = atomic_load_explicit(&mailbox->head, memory_order_relaxed);

    if (head == NULL)
        return NULL;
    head = atomic_exchange_explicit(&mailbox->head, NULL, memory_order_acquire);
    return head == &mailbox->asleep ? NULL : message_reverse(head);
}

bool
mailbox_sleep(struct mailbox *mailbox)
{
    struct message *head = NULL;

    return atomic_compare_exchange_strong_explicit(&mailbox->head, &head, &mailbox->asleep,
                                                   memory_order_relaxed, memory_order_relaxed) ||
           head == &mailbox->asleep;
}

bool
mailbox_is_asleep(const struct mailbox *mailbox)
{
    return atomic_load_explicit(&mailbox->head, memory_order_relaxed) == &mailbox->asleep;
}
