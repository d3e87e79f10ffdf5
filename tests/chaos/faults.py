"""
What goes wrong: one generator for each kind of fault. It does harm up to its `yield`, and heals what it did
behind it. What it chooses, it chooses with the luck that the schedule has given it, so the same seed does the
same again (to whatever is there then).
"""

import collections
import os
import re
import signal
import threading

import harness
import wire
import wire_login
from world import BANKS, UNREACHABLE, USERS, resume

Fault = collections.namedtuple("Fault", "function weight shortest longest alone")

FAULTS = {}


def fault(weight, shortest=0, longest=0, alone=False):
    """
    How often, compared with the others, and for how many seconds. While one that wants to be alone lasts,
    nothing else begins or ends: whoever would try might have to wait for it.
    """
    def add(function):
        FAULTS[function.__name__] = Fault(function, weight, shortest, longest, alone)
        return function
    return add


def pick(luck, things):
    things = sorted(things)
    return things[int(luck * len(things))] if things else None


# PostgreSQL -----------------------------------------------------------------------------------------------


@fault(2, 0, 3, alone=True)
def restart_fast(world, luck):
    world.cluster.shut_down(signal.SIGINT)
    yield
    world.cluster.start_again()


@fault(2, 0, 3, alone=True)
def restart_immediate(world, luck):
    world.cluster.shut_down(signal.SIGQUIT)
    yield
    world.cluster.start_again()


@fault(3, 0, 1, alone=True)
def fail_over(world, luck):
    """The primary is lost, and its standby takes its place: it has all that was acknowledged."""
    if world.standby is None:
        raise OSError("there is no standby, or not any more")
    world.bounds.blur(15)
    world.cluster.shut_down(signal.SIGQUIT)
    yield
    world.fail_over()


def backends(world, where="true"):
    """The processes that the daemon uses."""
    sql = f"SELECT pid FROM pg_stat_activity WHERE usename IN {USERS} AND {where}"
    return [int(pid) for pid, in world.cluster.ask(sql)]


@fault(1)
def kill_backend(world, luck):
    """PostgreSQL then ends all the others, too, and recovers."""
    pid = pick(luck, backends(world))
    if pid:
        os.kill(pid, signal.SIGKILL)
    yield


@fault(6, 0.5, 5)
def stop_backend(world, luck):
    pid = pick(luck, backends(world))
    if pid:
        os.kill(pid, signal.SIGSTOP)
    yield
    if pid:
        resume(pid)


@fault(4, 0.5, 5, alone=True)
def stop_postmaster(world, luck):
    """Nobody can log in, and cancels hang."""
    world.bounds.blur(15)
    postmaster = world.cluster.process
    postmaster.kill(signal.SIGSTOP)
    yield
    postmaster.kill(signal.SIGCONT)


@fault(6)
def terminate_backend(world, luck):
    pid = pick(luck, backends(world))
    if pid:
        world.cluster.ask(f"SELECT pg_terminate_backend({pid})")
    yield


@fault(3)
def terminate_all(world, luck):
    bank = pick(luck, BANKS)
    world.cluster.ask(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{bank}'")
    yield


@fault(6)
def cancel_backend(world, luck):
    """Only where nobody minds: elsewhere no cancel may hit that nobody has sent."""
    names = ", ".join(f"'{name}'" for name, bank in BANKS.items() if bank.may_be_cancelled)
    for pid in backends(world, f"datname IN ({names}) AND state = 'active'"):
        world.cluster.ask(f"SELECT pg_cancel_backend({pid})")
    yield


@fault(3, 0.5, 4)
def refuse_logins(world, luck):
    """Of new servers of one user; those that are there go on."""
    user = pick(luck, USERS)
    world.cluster.ask(f"ALTER ROLE {user} NOLOGIN")
    yield
    world.cluster.insist(f"ALTER ROLE {user} LOGIN")


@fault(2, 1, 4)
def slow_logins(world, luck):
    world.bounds.blur(15)
    world.cluster.ask("ALTER SYSTEM SET pre_auth_delay = 2")
    world.cluster.ask("SELECT pg_reload_conf()")
    yield
    world.cluster.insist("ALTER SYSTEM SET pre_auth_delay = 0")
    world.cluster.insist("SELECT pg_reload_conf()")


# The network ----------------------------------------------------------------------------------------------


def network(link, mode, amount, weight, shortest=0.0, longest=0.0):
    """A fault of a link, which for a while does mode, or does it once."""
    def break_network(world, luck):
        world.proxy.tell(link, mode, amount(luck) if callable(amount) else amount)
        yield
        world.proxy.tell(link, "pass")

    break_network.__name__ = f"{link}_network_{mode}"
    fault(weight, shortest, longest)(break_network)


for side, often in (("server", 1), ("client", 0.5)):
    network(side, "delay", lambda luck: 0.01 + 0.3 * luck, 3 * often, 1, 4)
    network(side, "trickle", 0, 3 * often, 1, 3)
    network(side, "bandwidth", lambda luck: 1000 + 100000 * luck, 3 * often, 1, 4)
    network(side, "stall", 0, 3 * often, 0.5, 4)
    network(side, "drop", 0, 4 * often, 0.5, 9)
    network(side, "mute", 0, 2 * often, 1, 5)
    network(side, "refuse", 0, 2 * often, 0.5, 4)
    network(side, "reset", lambda luck: luck, 4 * often)
    network(side, "cut", lambda luck: luck, 4 * often)


# The operator ---------------------------------------------------------------------------------------------


@fault(4)
def reload(world, luck):
    world.daemon.configure(server_round_robin=int(luck * 2))
    world.console("RELOAD")
    yield


@fault(5, 2, 6)
def change_pool_size(world, luck):
    """By the file, there and back."""
    name = pick(luck, BANKS)
    resize(world, name, max(1, int(BANKS[name].pool_size * (0.3 + luck))))
    yield
    resize(world, name, BANKS[name].pool_size)


def resize(world, name, size):
    world.bounds.change(name, size)
    world.daemon.databases[name] = world.database(name)
    world.daemon.configure()
    world.console("RELOAD")


@fault(3)
def change_connect_string(world, luck):
    """All servers become obsolete."""
    name = pick(luck, BANKS)
    world.connect_queries[name] += 1
    world.daemon.databases[name] = world.database(name)
    world.daemon.configure()
    world.console("RELOAD")
    yield


@fault(2)
def set_key(world, luck):
    world.console(f"SET connect_burst = {1 + int(luck * 5)}")
    world.console(f"SET server_lifetime = {5 + int(luck * 20)}")
    yield


@fault(4, 0.1, 3)
def pause(world, luck):
    """Where somebody keeps a server, it waits; who takes it back ends the wait."""
    name = pick(luck, BANKS)
    pause_in_background(world, f"PAUSE {name}")
    yield
    undo(world, f"RESUME {name}")


@fault(2, 0.1, 2)
def pause_all(world, luck):
    pause_in_background(world, "PAUSE")
    yield
    undo(world, "RESUME")


def pause_in_background(world, command):
    """Returns when the daemon has read it; the answer may take long."""
    client = wire_login.Client(world.daemon.port).login(harness.SUPERUSER, database="pgbouncer")
    client.send(wire.query(command))

    def wait():
        with client:
            try:
                client.receive()
            except UNREACHABLE:
                pass  # it was taken back, or the daemon has ended

    threading.Thread(target=wait, daemon=True).start()


def undo(world, command):
    """Another fault's end may have done so before."""
    try:
        world.console(command)
    except wire_login.Refused:
        pass


@fault(4)
def reconnect(world, luck):
    world.console(f"RECONNECT {pick(luck, BANKS)}")
    yield


@fault(2, 0.1, 2)
def kill_database(world, luck):
    name = pick(luck, BANKS)
    world.console(f"KILL {name}")
    yield
    undo(world, f"RESUME {name}")


@fault(2, 0.1, 2)
def disable(world, luck):
    name = pick(luck, BANKS)
    world.console(f"DISABLE {name}")
    yield
    undo(world, f"ENABLE {name}")


@fault(3)
def kill_client(world, luck):
    pointers = [row["ptr"] for row in world.console("SHOW CLIENTS") if row["database"] in BANKS]
    pointer = pick(luck, pointers)
    if pointer:
        try:
            world.console(f"KILL_CLIENT {pointer}")
        except wire_login.Refused:
            pass  # has gone meanwhile
    yield


# The machine ----------------------------------------------------------------------------------------------


@fault(3, 0.5, 4, alone=True)
def few_descriptors(world, luck):
    """The daemon may have a few more than it has now."""
    process = world.daemon.process
    limits = harness.read_file(f"/proc/{process.pid}/limits")
    before = re.search(r"Max open files +(\d+)", limits)[1]
    limit_descriptors(process, process.fds() + int(luck * 5))
    yield
    limit_descriptors(process, before)


def limit_descriptors(process, limit):
    """As the daemon's user would, since root may not do so everywhere."""
    harness.run([*harness.unprivileged(), "prlimit", f"--pid={process.pid}", f"--nofile={limit}:"])


@fault(2, 0.2, 2, alone=True)
def stop_daemon(world, luck):
    """The whole machine is busy with something else."""
    world.daemon.kill(signal.SIGSTOP)
    yield
    world.daemon.kill(signal.SIGCONT)
