/*
 * admin.h - commands about databases, servers and clients: a function each, for command.c's table.
 */
#pragma once

struct session;
struct statement;

void admin_disable(struct session *session, const struct statement *statement, const char *sql);
void admin_enable(struct session *session, const struct statement *statement, const char *sql);
void admin_kill(struct session *session, const struct statement *statement, const char *sql);
void admin_kill_client(struct session *session, const struct statement *statement, const char *sql);
void admin_pause(struct session *session, const struct statement *statement, const char *sql);
void admin_reconnect(struct session *session, const struct statement *statement, const char *sql);
void admin_resume(struct session *session, const struct statement *statement, const char *sql);
void admin_wait_close(struct session *session, const struct statement *statement, const char *sql);
/* The line of the log that says who did what. */
void admin_log_issued(const struct session *session, const char *command, const char *arg);
