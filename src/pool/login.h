/*
 * login.h - what a client is until it has logged in: startup packets, authentication, the choice of
 * its pool.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "config.h"

struct client;
struct login;
struct settings;

/* mode: whether the address that it came through offers or demands TLS. */
int login_new(struct client *client, enum tls_mode mode);
void login_free(struct login *login);
/* The client is being closed: nobody who waits for it, or has its request, finds it any more. */
void login_leave(struct login *login);
/* Bytes from a client in STARTUP, TLS or AUTH. */
void login_input(struct client *client, const char *data, size_t len);
/* WELCOME is over: sends AuthenticationOk, the parameters, the key, ReadyForQuery. */
int login_answer(struct client *client);
/* client_login_timeout is over. */
void login_timed_out(struct client *client);
/* Whether it has said who it is and what it wants. */
bool login_has_names(const struct login *login);
const char *login_database(const struct login *login);
const char *login_user(const struct login *login);
const char *login_application_name(const struct login *login); /* or NULL */
/* What the startup packet asks for. */
const struct settings *login_settings(const struct login *login);
