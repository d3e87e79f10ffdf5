// The steps of test_drivers.py with postgres.js, npm's "postgres", which sends whatever it has as a pipeline.

const { Readable } = require('node:stream')
const { pipeline } = require('node:stream/promises')
const postgres = require('postgres')
const { asleep, fails, run, same, unchanged } = require('./steps.js')

class Client {
  constructor(number, { host, port, dbname, user }) {
    this.number = number
    this.token = `postgres.js-${number}`
    this.options = { host, port, database: dbname, user, max: 1, connection: { application_name: this.token } }
  }

  async open() {
    this.sql = postgres(this.options)
    await this.sql`SELECT 1` // a query that is cancelled while the driver connects leaves it without a connection
  }

  async close() {
    await this.sql.end()
  }

  async row(text, ...values) {
    return [...(await this.sql.unsafe(text, values, { prepare: true }).values())[0]]
  }

  async named() {
    for (let turn = 0; turn < 6; turn++) {
      for (let kind = 0; kind < 4; kind++) {
        same(await this.row(`SELECT $1::text || '-${kind}', $2::int + ${kind}`, this.token, turn),
          [`${this.token}-${kind}`, turn + kind])
      }
    }
  }

  async types() {
    const [row] = await this.sql`
      SELECT ROW(${this.token}::text, ${this.number}::int)::pair, 'busy'::mood, ARRAY[${this.number}::int, 2],
             NULL::text, convert_to(${this.token}::text, 'UTF8'), 12345.678::numeric`.values()
    same([...row], [`(${this.token},${this.number})`, 'busy', [this.number, 2], null, Buffer.from(this.token),
      '12345.678'])
  }

  async settings() {
    same(await this.row('SHOW application_name'), [this.token])
    await this.sql.begin(async sql => {
      await sql`SELECT set_config('statement_timeout', ${this.number + 'min'}, true)`
      const [{ seconds }] = await sql`
        SELECT extract(epoch FROM current_setting('statement_timeout')::interval)::int AS seconds`
      same(seconds, this.number * 60)
    })
    same(await this.row('SHOW statement_timeout'), ['0'])
  }

  async count(sql = this.sql) {
    return Number((await sql`SELECT count(*) AS n FROM tokens WHERE token = ${this.token}`)[0].n)
  }

  async clear() {
    return (await this.sql`DELETE FROM tokens WHERE token = ${this.token}`).count
  }

  async insert(sql, n) {
    await sql`INSERT INTO tokens VALUES (${this.token}, ${n})`
  }

  async transaction() {
    const undone = new Error('undone')
    await this.sql.begin(async sql => {
      await this.insert(sql, 1)
      same(await this.count(sql), 1)
      throw undone
    }).catch(error => same(error, undone))
    same(await this.count(), 0)
    await this.sql.begin(sql => [this.insert(sql, 1), this.insert(sql, 2)])
    same(await this.clear(), 2)
  }

  // Each query has a Sync of its own, so one that fails leaves the others alone.
  async pipeline() {
    const divide = n => this.sql`SELECT ${this.token}::text AS t, 20 / ${n}::int AS n`
    await divide(1) // from now on the statement is there, and what is asked at once goes at once
    const answers = await Promise.allSettled([20, 10, 0, 5, 0, 4].map(divide))
    same(answers.map(({ value, reason }) => reason?.code ?? { ...value[0] }),
      [1, 2, '22012', 4, '22012', 5].map(n => typeof n === 'string' ? n : { t: this.token, n }))
  }

  async copy() {
    const lines = Array.from({ length: 100 }, (_, n) => `${this.token}\t${n}\n`)
    await pipeline(Readable.from(lines), await this.sql`COPY tokens FROM STDIN`.writable())
    const chunks = []
    for await (const chunk of await this.sql`
      COPY (SELECT * FROM tokens WHERE token = '${this.sql.unsafe(this.token)}' ORDER BY n) TO STDOUT`.readable()) {
      chunks.push(chunk)
    }
    same(Buffer.concat(chunks).toString(), lines.join(''))

    // Not ended: the driver never tells of an error that comes after the end.
    const wrong = await this.sql`COPY tokens FROM STDIN`.writable()
    await fails('22P02', new Promise((_, reject) => wrong.on('error', reject).write(`${this.token}\tx\n`)))
    const broken = await this.sql`COPY tokens FROM STDIN`.writable()
    broken.write(`${this.token}\t101\n`)
    await new Promise(resolve => broken.on('error', resolve).destroy(new Error('the application gives up')))
    same(await this.clear(), 100)
  }

  async error() {
    await fails('22012', this.row('SELECT 7 / $1::int', 0))
    same(await this.row('SELECT 7 / $1::int', 1), [7])
    await fails('42601', this.sql`SELEC 1`)
    for (let i = 0; i < 2; i++) await fails('42P01', this.row('SELECT * FROM nowhere WHERE token = $1', this.token))
    await fails('23505', this.sql.begin(async sql => {
      await this.insert(sql, 1)
      await fails('23505', this.insert(sql, 1))
      await fails('25P02', this.insert(sql, 2))
    }))
    same(await this.count(), 0)
  }

  async cursor() {
    let n = 1
    for await (const rows of this.sql`SELECT ${this.token}::text AS t, n FROM generate_series(1, 35) n`.cursor(10)) {
      same(rows.map(row => ({ ...row })), rows.map((_, i) => ({ t: this.token, n: n + i })))
      n += rows.length
    }
    same(n, 36)
  }

  async large() {
    const text = this.token + 'x'.repeat(300_000)
    same(await this.row('SELECT $1::text', text), [text])
  }

  async cancel() {
    const query = this.sql`SELECT pg_sleep(60)`.execute()
    await asleep(this.token)
    query.cancel()
    await fails('57014', query)
    same(await this.row('SELECT $1::text', this.token), [this.token])
  }

  // The driver prepares again what the server does not know any more.
  async forget() {
    const select = () => this.sql`SELECT ${this.token}::text || 'forgotten' AS text`
    const first = await select()
    await this.sql.unsafe(`DEALLOCATE "${first.statement.name}"`)
    const second = await select()
    same([first[0].text, second[0].text], [this.token + 'forgotten', this.token + 'forgotten'])
  }

  async changing() {
    unchanged(this.number, (await this.sql`SELECT * FROM changing WHERE id = ${this.number}`)[0])
  }
}

run(`postgres.js ${require('./package.json').dependencies.postgres}`, Client)
