/*
 * lesson.h - what the answer to a Describe teaches: the shape of the rows that a server's statement
 * gives, and with it what the client knows of the statement that it has a name for.
 *
 * A lesson is the op of a Describe (requests.h). Whatever it is about may be gone, or be made anew,
 * when the answer comes; so it refers to nothing but the two sides, which are linked till then.
 *
 * Thread: the server's.
 */
#pragma once

#include <stdint.h>

struct prepared_entry;
struct prepared_name;
struct prepared_names;
struct prepared_set;
struct requests;

/*
 * Enters a Describe of entry, with an action of requests.h; name, of names, is the client's for
 * it, if the client hears the answer; else both are NULL. Of what is no named statement of the
 * server, set and entry are NULL. 0 or -ENOMEM.
 */
int lesson_push(struct requests *requests, int action, struct prepared_set *set,
                struct prepared_entry *entry, struct prepared_names *names,
                struct prepared_name *name);
/* What is answered is a Describe with an op, and this is the answer. */
void lesson_read(const struct requests *requests, uint64_t shape);
