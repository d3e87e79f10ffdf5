#include "visit.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "client.h"
#include "engine_int.h"
#include "fd.h"
#include "login.h"
#include "str.h"
#include "tls.h"

void
engine_visitor_free(struct console_visitor *visitor)
{
    if (visitor == NULL)
        return;
    tls_free(visitor->tls);
    fd_close(visitor->fd);
    free(visitor->database);
    free(visitor->user);
    free(visitor->application_name);
    free(visitor);
}

static void
visit_arrive(struct message *message)
{
    struct console_visitor *const visitor = container_of(message, struct console_visitor, message);
    const struct engine_hooks *const hooks = &visitor->engine->hooks;

    if (hooks->visit != NULL)
        hooks->visit(hooks->arg, visitor);
    else
        engine_visitor_free(visitor);
}

static int
visit_describe(struct console_visitor *visitor, const struct client *client)
{
    struct address local;
    struct sockaddr_storage addr = {0};
    socklen_t len = sizeof addr;
    int r;

    visitor->engine = client->worker->engine;
    visitor->fd = -1;
    visitor->id = client->id;
    visitor->connect_time = client->connect_wall * SEC;
    address_format(&client->address, &visitor->peer);
    if (getsockname(client->stream.fd, (struct sockaddr *)&addr, &len) == 0) {
        address_from_socket(&local, client->stream.fd, (struct sockaddr *)&addr,
                            client->address.port);
        address_format(&local, &visitor->local);
    }
    r = str_set(&visitor->database, client_database(client));
    if (r == 0)
        r = str_set(&visitor->user, client_user(client));
    if (r == 0)
        r = str_set(&visitor->application_name, login_application_name(client->login));
    return r;
}

void
visit_begin(struct client *client)
{
    struct console_visitor *const visitor = calloc(1, sizeof *visitor);

    if (visitor == NULL || visit_describe(visitor, client) < 0) {
        engine_visitor_free(visitor);
        client_close(client, CLOSE_NO_MEMORY);
        return;
    }
    visitor->message.fn = visit_arrive;
    visitor->fd = stream_take_fd(&client->stream, &visitor->tls);
    client_close(client, CLOSE_VISITS_CONSOLE);
    loop_post(visitor->engine->main_loop, &visitor->message);
}
