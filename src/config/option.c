/*
 * One value of one row. Each type is a line in the table of its verbs.
 */
#include "config_int.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "str.h"
#include "units.h"

typedef int parse_fn(const struct option *row, const char *text, void *field, struct buf *why);
typedef int format_fn(const struct option *row, const void *field, struct buf *text);

static usec_t
duration_unit(const struct option *row)
{
    return row->unit != 0 ? row->unit : SEC;
}

static PRINTF_LIKE(2, 3) int complain(struct buf *why, const char *format, ...)
{
    va_list args;
    int r;

    va_start(args, format);
    r = buf_vprintf(why, format, args);
    va_end(args);
    return r < 0 ? r : -EINVAL;
}

/* What a number must not leave, in the row's own unit. */
static int
complain_range(const struct option *row, const char *text, uint64_t max, struct buf *why)
{
    const uint64_t unit = row->type == OPT_DURATION ? duration_unit(row) : 1;

    return complain(why, "%s is out of range (%.12g to %.12g)", text,
                    (double)row->min / (double)unit, (double)max / (double)unit);
}

static int
parse_string(const struct option *row, const char *text, void *field, struct buf *why)
{
    (void)row;
    (void)why;
    return str_set(field, text);
}

static int
format_string(const struct option *row, const void *field, struct buf *text)
{
    const char *value = *(char *const *)field;

    (void)row;
    return value != NULL ? buf_append_str(text, value) : 0;
}

static const struct option_word *
find_word(const struct option_word *words, const char *text, size_t len)
{
    for (; words->name != NULL; words++)
        if (strlen(words->name) == len && strncasecmp(words->name, text, len) == 0)
            return words;
    return NULL;
}

/* An IPv6 address has no "=" in it, a word neither. */
void
option_split_item(const char *item, size_t len, struct option_item *ret_item)
{
    const char *equals = memrchr(item, '=', len);

    *ret_item = (struct option_item){.word = item, .word_len = len};
    if (equals == NULL)
        return;
    ret_item->key = item;
    ret_item->key_len = (size_t)(equals - item);
    while (ret_item->key_len > 0 && str_is_blank(item[ret_item->key_len - 1]))
        ret_item->key_len--;
    ret_item->word = equals + 1;
    ret_item->word_len = len - (size_t)(ret_item->word - item);
    for (; ret_item->word_len > 0 && str_is_blank(*ret_item->word); ret_item->word_len--)
        ret_item->word++;
}

static int
complain_word(const struct option_word *words, const char *text, size_t len, struct buf *why)
{
    CLEANUP(free) char *word = strndup(text, len);
    struct nearest nearest;
    const char *separator = "";

    if (word == NULL)
        return -ENOMEM;
    nearest_init(&nearest, word);
    (void)complain(why, "\"%s\" is none of ", word);
    for (; words->name != NULL; words++) {
        (void)complain(why, "%s%s", separator, words->name);
        nearest_offer(&nearest, words->name);
        separator = ", ";
    }
    if (nearest.name == NULL)
        return -EINVAL;
    return complain(why, "; did you mean \"%s\"?", nearest.name);
}

static int
parse_list(const struct option *row, const char *text, void *field, struct buf *why)
{
    const char *rest = text, *next;
    struct option_item item;
    size_t len;

    while (row->words != NULL && str_list_next(&rest, &next, &len)) {
        item = (struct option_item){.word = next, .word_len = len};
        if (row->keyed)
            option_split_item(next, len, &item);
        if (find_word(row->words, item.word, item.word_len) == NULL)
            return complain_word(row->words, item.word, item.word_len, why);
    }
    return str_set(field, text);
}

static int
parse_enum(const struct option *row, const char *text, void *field, struct buf *why)
{
    const struct option_word *word = find_word(row->words, text, strlen(text));

    if (word == NULL)
        return complain_word(row->words, text, strlen(text), why);
    *(int *)field = word->value;
    return 0;
}

static int
format_enum(const struct option *row, const void *field, struct buf *text)
{
    const int value = *(const int *)field;

    return value != CONFIG_UNSET ? buf_append_str(text, option_word_name(row->words, value)) : 0;
}

static int
parse_bool(const struct option *row, const char *text, void *field, struct buf *why)
{
    (void)row;
    if (units_parse_bool(text, field) < 0)
        return complain(why, "\"%s\" is neither 0 nor 1", text);
    return 0;
}

static int
format_bool(const struct option *row, const void *field, struct buf *text)
{
    (void)row;
    return buf_append_char(text, *(const bool *)field ? '1' : '0');
}

/* A number of [row->min, max], where max is also the most that the type can hold. */
static int
parse_number(const struct option *row, const char *text, uint64_t type_max, uint64_t *ret_number,
             struct buf *why)
{
    const uint64_t max = row->max != 0 ? row->max : type_max;
    int64_t number = 0;
    const int r = units_parse_int(text, &number);

    if (r == -EINVAL)
        return complain(why, "\"%s\" is not a whole number", text);
    if (r < 0 || number < 0 || (uint64_t)number < row->min || (uint64_t)number > max)
        return complain_range(row, text, max, why);
    *ret_number = (uint64_t)number;
    return 0;
}

static int
parse_int(const struct option *row, const char *text, void *field, struct buf *why)
{
    uint64_t number = 0;
    const int r = parse_number(row, text, INT_MAX, &number, why);

    if (r == 0)
        *(int *)field = (int)number;
    return r;
}

static int
format_int(const struct option *row, const void *field, struct buf *text)
{
    const int value = *(const int *)field;

    (void)row;
    return value != CONFIG_UNSET ? buf_printf(text, "%d", value) : 0;
}

static int
parse_auto(const struct option *row, const char *text, void *field, struct buf *why)
{
    if (!str_ieq(text, "auto"))
        return parse_int(row, text, field, why);
    *(int *)field = 0;
    return 0;
}

static int
format_auto(const struct option *row, const void *field, struct buf *text)
{
    return *(const int *)field != 0 ? format_int(row, field, text) : buf_append_str(text, "auto");
}

static int
parse_mode(const struct option *row, const char *text, void *field, struct buf *why)
{
    uint64_t number = 0;
    int64_t any;
    int r;

    if (units_parse_int(text, &any) == 0 && (any < 0 || any > 0777))
        return complain(why,
                        "%s is no file mode; 0777 is the most, and octal "
                        "begins with a 0",
                        text);
    r = parse_number(row, text, 0777, &number, why);
    if (r == 0)
        *(mode_t *)field = (mode_t)number;
    return r;
}

static int
format_mode(const struct option *row, const void *field, struct buf *text)
{
    (void)row;
    return buf_printf(text, "%u", (unsigned)*(const mode_t *)field);
}

static int
parse_size(const struct option *row, const char *text, void *field, struct buf *why)
{
    const uint64_t max = row->max != 0 ? row->max : INT64_MAX;
    uint64_t bytes = 0;
    const int r = units_parse_size(text, &bytes);

    if (r == -EINVAL)
        return complain(why, "\"%s\" is no size; 4096, 64kB or 1MB is one", text);
    if (r < 0 || bytes < row->min || bytes > max)
        return complain_range(row, text, max, why);
    *(uint64_t *)field = bytes;
    return 0;
}

static int
format_size(const struct option *row, const void *field, struct buf *text)
{
    (void)row;
    return buf_printf(text, "%llu", (unsigned long long)*(const uint64_t *)field);
}

/* Where the row sets no limit, so that sums of times stay far from the end of usec_t. */
#define DURATION_MAX (36500 * DAY)

static int
parse_duration(const struct option *row, const char *text, void *field, struct buf *why)
{
    const usec_t max = row->max != 0 ? row->max : DURATION_MAX;
    usec_t usec = 0;
    const int r = units_parse_duration(text, duration_unit(row), &usec);

    if (r == -EINVAL)
        return complain(why, "\"%s\" is no time; %s, 500ms, 30s, 5min or 2h is one", text,
                        duration_unit(row) == SEC ? "1.5" : "1500");
    if (r < 0 || usec < row->min || usec > max)
        return complain_range(row, text, max, why);
    *(usec_t *)field = usec;
    return 0;
}

static int
format_duration(const struct option *row, const void *field, struct buf *text)
{
    const usec_t usec = *(const usec_t *)field;

    if (usec == USEC_NEVER)
        return 0;
    return buf_printf(text, "%g", (double)usec / (double)duration_unit(row));
}

static const struct {
    size_t size;
    bool owns; /* a char * to free */
    parse_fn *parse;
    format_fn *format;
} types[] = {
    [OPT_STRING] = {sizeof(char *), true, parse_string, format_string},
    [OPT_LIST] = {sizeof(char *), true, parse_list, format_string},
    [OPT_BOOL] = {sizeof(bool), false, parse_bool, format_bool},
    [OPT_INT] = {sizeof(int), false, parse_int, format_int},
    [OPT_AUTO] = {sizeof(int), false, parse_auto, format_auto},
    [OPT_SIZE] = {sizeof(uint64_t), false, parse_size, format_size},
    [OPT_DURATION] = {sizeof(usec_t), false, parse_duration, format_duration},
    [OPT_MODE] = {sizeof(mode_t), false, parse_mode, format_mode},
    [OPT_ENUM] = {sizeof(int), false, parse_enum, format_enum},
};

static void *
field_of(const struct option *row, void *object)
{
    return (char *)object + row->field;
}

static const void *
const_field_of(const struct option *row, const void *object)
{
    return (const char *)object + row->field;
}

int
option_parse(const struct option *row, const char *text, void *object, struct buf *why)
{
    return types[row->type].parse(row, text, field_of(row, object), why);
}

int
option_format(const struct option *row, const void *object, struct buf *text)
{
    return types[row->type].format(row, const_field_of(row, object), text);
}

bool
option_equal(const struct option *row, const void *a, const void *b)
{
    a = const_field_of(row, a);
    b = const_field_of(row, b);
    if (types[row->type].owns)
        return str_eq(*(char *const *)a, *(char *const *)b);
    return memcmp(a, b, types[row->type].size) == 0;
}

int
option_copy(const struct option *row, const void *from, void *to)
{
    from = const_field_of(row, from);
    to = field_of(row, to);
    if (types[row->type].owns)
        return str_set(to, *(char *const *)from);
    memcpy(to, from, types[row->type].size);
    return 0;
}

void
option_unset(const struct option *row, void *object)
{
    void *field = field_of(row, object);

    if (types[row->type].owns)
        *(char **)field = NULL;
    else
        memset(field, 0xff, types[row->type].size); /* CONFIG_UNSET and USEC_NEVER */
}

void
option_done(const struct option *row, void *object)
{
    char **field = field_of(row, object);

    if (types[row->type].owns) {
        free(*field);
        *field = NULL;
    }
}

size_t
option_field_size(enum option_type type)
{
    return types[type].size;
}

const struct option *
option_find(const struct option_table *table, const char *name)
{
    for (const struct option *row = table->rows; row < option_table_end(table); row++)
        if (str_eq(row->name, name) || (row->alias != NULL && str_eq(row->alias, name)))
            return row;
    return NULL;
}

const char *
option_nearest(const struct option_table *table, const char *name)
{
    struct nearest nearest;

    nearest_init(&nearest, name);
    for (const struct option *row = table->rows; row < option_table_end(table); row++)
        nearest_offer(&nearest, row->name);
    return nearest.name;
}

int
option_word_value(const struct option_word *words, const char *text, size_t len)
{
    const struct option_word *word = find_word(words, text, len);

    return word != NULL ? word->value : -1;
}

const char *
option_word_name(const struct option_word *words, int value)
{
    for (; words->name != NULL; words++)
        if (words->value == value)
            return words->name;
    return "";
}

/* A short name may be off by one letter, a long one by three. */
void
nearest_init(struct nearest *nearest, const char *wanted)
{
    nearest->wanted = wanted;
    nearest->name = NULL;
    nearest->distance = MIN(strlen(wanted) / 4 + 1, (size_t)3) + 1;
}

void
nearest_offer(struct nearest *nearest, const char *name)
{
    const size_t distance = str_edit_distance(nearest->wanted, name, nearest->distance);

    if (distance < nearest->distance) {
        nearest->distance = distance;
        nearest->name = name;
    }
}
