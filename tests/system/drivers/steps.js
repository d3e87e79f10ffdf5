// What the programs of Node's drivers have in common, as steps.py has it for Python's: fifty clients at a time that
// do the steps of test_drivers.py, and say so as JSON. A program brings a class with open(), close() and each step.

const assert = require('node:assert/strict')
const pg = require('pg')

const options = Object.fromEntries(process.argv.slice(2).map(word => word.split('=', 2)))
const steps = options.steps.split(',')

// Fails unless promise does so with this SQLSTATE.
async function fails(sqlstate, promise) {
  const code = await promise.then(() => 'no error', error => error.code ?? error)
  assert.equal(code, sqlstate)
}

// The row of a table whose columns change their types, and come and go, while their values stay.
function unchanged(number, row) {
  const texts = Object.fromEntries(Object.entries(row).map(([name, value]) => [name, String(value)]))
  assert.deepEqual({ more: '5', ...texts }, { id: String(number), value: String(1000 + number), more: '5' })
}

// Waits until the server says that this client's query is in pg_sleep.
async function asleep(token) {
  const server = new pg.Client(options.server)
  const text = "SELECT FROM pg_stat_activity WHERE application_name = $1 AND wait_event = 'PgSleep'"
  const limit = Date.now() + 120_000
  await server.connect()
  while ((await server.query(text, [token])).rowCount === 0) {
    assert(Date.now() < limit, 'never asleep')
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  await server.end()
}

async function work(client, report) {
  let step = 'open'
  try {
    await client.open()
    for (let turn = 0; turn < options.rounds * steps.length; turn++) {
      // Each client begins with another step, so that all of them meet.
      step = steps[(client.number + turn) % steps.length]
      await client[step]()
      report.done[step]++
    }
    step = 'close'
    await client.close()
  } catch (error) {
    report.failures.push(`${client.token}: ${step}: ${error.code}: ${error.message}`)
  }
}

async function run(driver, Client) {
  const report = { driver, done: Object.fromEntries(steps.map(step => [step, 0])), failures: [] }
  const clients = Array.from({ length: options.clients }, (_, number) => new Client(number, options))
  await Promise.all(clients.map(client => work(client, report)))
  console.log(JSON.stringify(report))
  process.exit()
}

module.exports = { asleep, fails, run, same: assert.deepEqual, unchanged }
