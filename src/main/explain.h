/*
 * explain.h - what --explain prints about a file without errors: for people who come from
 * PgBouncer.
 */
#pragma once

#include <stdio.h>

struct config;
struct config_errors;

/*
 * The notes by file and line, then how many connections the pools may make to each server, of which
 * each is asked for its limit (this takes a few seconds for one that does not answer), then what
 * there is to say about cores.
 */
void explain(struct config *config, struct config_errors *notes, FILE *file);
