/*
 * visit.h - a client of the console leaves its worker for the main loop.
 */
#pragma once

struct client;

/* The client is no more; its connection goes to the engine's visit hook. */
void visit_begin(struct client *client);
