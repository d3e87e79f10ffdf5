/*
 * The files that keys of the configuration name: users, rules, maps.
 */
#include "config_int.h"

#include <errno.h>
#include <stdlib.h>

#include "buf.h"
#include "hba_int.h"

static void
free_auth_user(void *object)
{
    config_auth_user_free(object);
}

static int
add_auth_user(void *arg, const char *user, const char *secret)
{
    return entries_add(arg, config_auth_user_new(user, secret), &(struct place){0});
}

/* What is wrong is in the list of errors; only the end of memory ends the load. */
static int
parse_auth_file(const char *path, const struct place *place, struct config_errors *errors,
                struct entries *users)
{
    CLEANUP(file_done) struct buf text = BUF_INIT;
    int r;

    r = file_read(path, &text);
    if (r == 0)
        r = auth_file_parse(text.data, path, errors, add_auth_user, users);
    else if (r != -ENOMEM)
        errors_add(errors, place, "auth_file: could not read \"%s\": %s", path, file_error(r));
    return r == -ENOMEM ? r : 0;
}

static void
replace_auth_users(struct config *config, struct config_auth_user **users, size_t count)
{
    for (size_t i = 0; i < config->n_auth_users; i++)
        config_auth_user_free(config->auth_users[i]);
    free(config->auth_users);
    config->auth_users = users;
    config->n_auth_users = count;
    config_note_secrets(config);
}

static int
read_auth_file(struct config *config, const struct place *place, struct config_errors *errors)
{
    CLEANUP(entries_done) struct entries users = {.free = free_auth_user};
    struct config_auth_user **list;
    size_t count = 0;
    int r = 0;

    if (*config->auth_file != '\0')
        r = parse_auth_file(config->auth_file, place, errors, &users);
    if (r < 0)
        return r;
    entries_sort(&users);
    list = entries_take(&users, &count);
    if (list == NULL)
        return -ENOMEM;
    replace_auth_users(config, list, count);
    return 0;
}

static int
read_hba(struct config *config, const struct place *place, struct config_errors *errors)
{
    hba_unref(TAKE(config->hba));
    if (config->auth_type != AUTH_TYPE_HBA || *config->auth_hba_file == '\0')
        return 0;
    return hba_read(config->auth_hba_file, place, config->auth_hba_lenient, errors, &config->hba);
}

static int
read_ident(struct config *config, const struct place *place, struct config_errors *errors)
{
    const bool is_used = config->auth_type == AUTH_TYPE_HBA ||
                         config->auth_type == AUTH_TYPE_CERT || config->auth_type == AUTH_TYPE_PEER;

    ident_unref(TAKE(config->ident));
    if (!is_used || *config->auth_ident_file == '\0')
        return 0;
    return ident_read(config->auth_ident_file, place, config->auth_hba_lenient, errors,
                      &config->ident);
}

int
config_read_files(struct config *config, const struct place *places, struct config_errors *errors)
{
    int r;

    r = read_auth_file(config, config_place_of(places, "auth_file"), errors);
    if (r == 0)
        r = read_hba(config, config_place_of(places, "auth_hba_file"), errors);
    if (r == 0)
        r = read_ident(config, config_place_of(places, "auth_ident_file"), errors);
    return r;
}
