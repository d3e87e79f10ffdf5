"""
The proof, when all is over: what clients know (journal.py) against what is in the tables.
"""

import journal
from transfers import ACCOUNTS, BALANCE
from world import BANKS

ENTRIES = "SELECT split_part(token, '/', 1), count(*), count(DISTINCT token) FROM entry GROUP BY 1"

WRONG_BALANCES = f"""
    SELECT id, balance, {BALANCE} + coalesce(sum(change), 0) FROM account LEFT JOIN (
        SELECT payer AS id, -amount AS change FROM entry UNION ALL SELECT payee, amount FROM entry) changes USING (id)
    GROUP BY id, balance HAVING balance <> {BALANCE} + coalesce(sum(change), 0)"""


def check(cluster, folder, committed):
    """What is wrong, each a line; committed is what was acknowledged of the ledgers."""
    transfers = journal.read(folder)
    violations, present, written = [], set(), set()
    for bank in BANKS:
        violations += check_entries(bank, cluster.ask(ENTRIES, bank), transfers, present)
        violations += [f"account {account} of {bank} has {balance} instead of {due}"
                       for account, balance, due in cluster.ask(WRONG_BALANCES, bank)]
        violations += check_sum(bank, cluster)
        violations += check_ledger(bank, cluster, written)
    violations += [f"lost: {describe(token, transfer)}" for token, transfer in transfers.items()
                   if transfer.state == journal.COMMITTED and token not in present]
    violations += [f"lost from the ledger: {token}" for token in committed if token not in written]
    return violations, len(transfers), sum(transfer.state == journal.SENT for transfer in transfers.values())


def check_entries(bank, rows, transfers, present):
    for token, count, distinct in rows:
        transfer, count, distinct = transfers.get(token), int(count), int(distinct)
        present.add(token)
        if transfer is None:
            yield f"from nowhere: {token} in {bank}"
        elif transfer.database != bank:
            yield f"in {bank}: {describe(token, transfer)}"
        elif transfer.state in (journal.PART, journal.REFUSED):
            yield f"executed though it was refused or not sent: {describe(token, transfer)}"
        elif count > distinct:
            yield f"executed more than once ({count} rows): {describe(token, transfer)}"
        elif count != transfer.rows:
            yield f"in part ({count} rows): {describe(token, transfer)}"


def check_sum(bank, cluster):
    (total,), = cluster.ask("SELECT sum(balance) FROM account", bank)
    return [] if total == str(ACCOUNTS * BALANCE) else [f"{bank} has {total} instead of {ACCOUNTS * BALANCE}"]


def check_ledger(bank, cluster, written):
    for token, kind in cluster.ask("SELECT token, kind FROM ledger", bank):
        written.add(token)
        if kind != "committed":
            yield f"in the ledger of {bank}, though {kind}: {token}"
    (count,), = cluster.ask("SELECT count(*) FROM copied WHERE token = 'abandoned'", bank)
    if count != "0":
        yield f"{count} rows of an abandoned COPY in {bank}"


def describe(token, transfer):
    return f"{token} of {transfer.database} ({transfer.rows} rows), state {transfer.state}"
