#include "list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct item {
    int number;
    struct list link;
};

/* The numbers in the list, as decimal digits. */
static int
digits(const struct list *head)
{
    struct item *item;
    int number = 0;

    LIST_FOREACH (item, head, link)
        number = number * 10 + item->number;
    return number;
}

static void
test_keeps_order(void **state)
{
    struct list head = LIST_INIT(head);
    struct item items[] = {{.number = 1}, {.number = 2}, {.number = 3}};

    (void)state;
    assert_true(list_empty(&head));
    list_push_back(&head, &items[1].link);
    list_push_back(&head, &items[2].link);
    list_push_front(&head, &items[0].link);
    assert_int_equal(digits(&head), 123);
    assert_int_equal(list_count(&head), 3);
    assert_ptr_equal(list_entry(list_first(&head), struct item, link), &items[0]);
    assert_ptr_equal(list_entry(list_last(&head), struct item, link), &items[2]);
    assert_ptr_equal(list_next(&head, &items[0].link), &items[1].link);
    assert_null(list_next(&head, &items[2].link));
    assert_ptr_equal(list_prev(&head, &items[2].link), &items[1].link);
    assert_null(list_prev(&head, &items[0].link));
}

static void
test_pops_from_both_ends_until_empty(void **state)
{
    struct list head = LIST_INIT(head);
    struct item items[] = {{.number = 1}, {.number = 2}, {.number = 3}};

    (void)state;
    for (int i = 0; i < 3; i++)
        list_push_back(&head, &items[i].link);
    assert_ptr_equal(list_pop(&head), &items[0].link);
    assert_ptr_equal(list_pop_back(&head), &items[2].link);
    assert_ptr_equal(list_pop(&head), &items[1].link);
    assert_null(list_pop(&head));
    assert_null(list_pop_back(&head));
    assert_null(list_entry(list_first(&head), struct item, link));
}

static void
test_removing_what_is_in_no_list_does_nothing(void **state)
{
    struct list head = LIST_INIT(head);
    struct item zeroed = {0};
    struct item item;

    (void)state;
    list_remove(&zeroed.link);
    assert_false(list_is_linked(&zeroed.link));
    list_init(&item.link);
    list_remove(&item.link);
    assert_false(list_is_linked(&item.link));
    list_push_back(&head, &item.link);
    assert_true(list_is_linked(&item.link));
    list_remove(&item.link);
    list_remove(&item.link);
    assert_false(list_is_linked(&item.link));
    assert_true(list_empty(&head));
}

static void
test_the_body_may_remove_its_element(void **state)
{
    struct list head = LIST_INIT(head);
    struct item items[] = {{.number = 1}, {.number = 2}, {.number = 3}, {.number = 4}};
    struct item *item;

    (void)state;
    for (int i = 0; i < 4; i++)
        list_push_back(&head, &items[i].link);
    LIST_FOREACH_SAFE (item, &head, link)
        if (item->number % 2 == 0)
            list_remove(&item->link);
    assert_int_equal(digits(&head), 13);
}

static void
test_append_moves_all(void **state)
{
    struct list to = LIST_INIT(to);
    struct list from = LIST_INIT(from);
    struct item items[] = {{.number = 1}, {.number = 2}, {.number = 3}};

    (void)state;
    list_append(&to, &from);
    assert_true(list_empty(&to));
    list_push_back(&from, &items[0].link);
    list_append(&to, &from);
    list_push_back(&from, &items[1].link);
    list_push_back(&from, &items[2].link);
    list_append(&to, &from);
    assert_int_equal(digits(&to), 123);
    assert_true(list_empty(&from));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keeps_order),
        cmocka_unit_test(test_pops_from_both_ends_until_empty),
        cmocka_unit_test(test_removing_what_is_in_no_list_does_nothing),
        cmocka_unit_test(test_the_body_may_remove_its_element),
        cmocka_unit_test(test_append_moves_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
