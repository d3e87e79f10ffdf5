/*
 * fake_engine.h - the part of engine.h that the console uses: it remembers what it was asked, and
 * answers when the test says so.
 */
#pragma once

#include "engine.h"
#include "snapshot.h"

#define FAKE_REQUESTS_MAX 8

struct engine {
    struct config *config;                          /* borrowed */
    enum engine_result pause_result, resume_result; /* what the next call returns */
    enum engine_shutdown mode;
    bool paused;
    unsigned pauses, resumes;   /* calls that went well */
    char database[64];          /* of the last pause or resume; "*" is all */
    unsigned kills, reconnects; /* calls */
    bool disabled;              /* what the last call said */
    struct engine_kill *kill;   /* the one that waits, or NULL */
    struct engine_drain *drain; /* the one that waits, or NULL */
    struct snapshot_request *requests[FAKE_REQUESTS_MAX]; /* those that wait */
    size_t request_count;
    unsigned visitors;                 /* made and not freed */
    struct engine_peer_load peer_load; /* of peer 2 */
};

/* A visitor whose connection is fd. */
struct console_visitor *fake_engine_visitor(struct engine *engine, int fd, const char *user);
/* The last server is gone. */
void fake_engine_drained(struct engine *engine);
/* What engine_kill_client was asked for is done. */
void fake_engine_killed(struct engine *engine, bool found);
/* Answers the oldest request with a snapshot (taken over); NULL is no memory. */
void fake_engine_answer(struct engine *engine, struct snapshot *snapshot);
