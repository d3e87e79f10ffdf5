/*
 * hba_int.h - the steps from lines of words to rules and maps.
 *
 * All that return an int return 0, -EINVAL after pgconf_complain, or -ENOMEM.
 */
#pragma once

#include "hba.h"
#include "pgconf.h"

/* HBA_NAME, HBA_REGEX or HBA_ALL. */
int hba_name_parse(struct pgconf *pgconf, const struct place *place, const struct pgconf_word *word,
                   struct hba_name *ret_name);
void hba_name_done(struct hba_name *name);
/* Complains of "+group". */
int hba_name_check_group(struct pgconf *pgconf, const struct place *place,
                         const struct pgconf_word *word);

/* The address, and maybe its mask in a field of its own: moves *field behind them. */
int hba_address_parse(struct pgconf *pgconf, const struct pgconf_line *line, size_t *field,
                      struct hba_address *ret_address);

/* Adds those of the fields from first on, checked for the rule's type and method. */
int hba_options_parse(struct pgconf *pgconf, const struct pgconf_line *line, size_t first,
                      struct hba_rule *rule);
void hba_options_done(struct hba_rule *rule);

/* The one word of a field; what is its name in a complaint. */
int hba_single_word(struct pgconf *pgconf, const struct pgconf_line *line, size_t field,
                    const char *what, const struct pgconf_word **ret_word);

/*
 * A whole file, which a key has named at place. 0 or -ENOMEM; what is wrong is in the list of
 * errors, and what is not is in *ret.
 */
int hba_read(const char *path, const struct place *place, bool is_lenient,
             struct config_errors *errors, struct hba **ret_hba);
int ident_read(const char *path, const struct place *place, bool is_lenient,
               struct config_errors *errors, struct ident **ret_ident);
