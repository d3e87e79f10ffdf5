/*
 * requests_fixture.h - a queue of requests, and steps of its life.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "requests.h"

/* *state is an empty struct requests. */
int requests_setup(void **state);
int requests_teardown(void **state);
/* Messages of these types are sent. */
void push(struct requests *requests, const char *types);
/* These come, and each of them may. */
void answer(struct requests *requests, const char *types);
