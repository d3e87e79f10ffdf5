// The steps of test_drivers.py with node-postgres, npm's "pg".

const { Readable } = require('node:stream')
const { pipeline } = require('node:stream/promises')
const pg = require('pg')
const Cursor = require('pg-cursor')
const { from: copyFrom, to: copyTo } = require('pg-copy-streams')
const { asleep, fails, run, same, unchanged } = require('./steps.js')

class Client {
  constructor(number, { host, port, dbname, user }) {
    this.number = number
    this.token = `node-${number}`
    this.options = { host, port: Number(port), database: dbname, user, application_name: this.token }
    this.names = new Map()
  }

  async open() {
    this.pg = new pg.Client(this.options)
    await this.pg.connect()
  }

  async close() {
    await this.pg.end()
  }

  // What is prepared under a name that belongs to its text.
  prepared(text) {
    if (!this.names.has(text)) this.names.set(text, `s${this.names.size}`)
    return { name: this.names.get(text), text, rowMode: 'array' }
  }

  async row(text, ...values) {
    return (await this.pg.query({ ...this.prepared(text), values })).rows[0]
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
    same(await this.row(`SELECT ROW($1::text, $2::int)::pair, 'busy'::mood, ARRAY[$2::int, 2], NULL::text,
                         convert_to($1::text, 'UTF8'), 12345.678::numeric`, this.token, this.number),
    [`(${this.token},${this.number})`, 'busy', [this.number, 2], null, Buffer.from(this.token), '12345.678'])
  }

  async settings() {
    same(await this.row('SHOW application_name'), [this.token])
    await this.pg.query('BEGIN')
    await this.row("SELECT set_config('statement_timeout', $1, true)", `${this.number}min`)
    same(await this.row("SELECT extract(epoch FROM current_setting('statement_timeout')::interval)::int"),
      [this.number * 60])
    await this.pg.query('COMMIT')
    same(await this.row('SHOW statement_timeout'), ['0'])
  }

  async count() {
    return Number((await this.row('SELECT count(*) FROM tokens WHERE token = $1', this.token))[0])
  }

  async clear() {
    return (await this.pg.query('DELETE FROM tokens WHERE token = $1', [this.token])).rowCount
  }

  insert(n) {
    return this.pg.query({ ...this.prepared('INSERT INTO tokens VALUES ($1, $2)'), values: [this.token, n] })
  }

  async transaction() {
    await this.pg.query('BEGIN')
    await this.insert(1)
    same(await this.count(), 1)
    await this.pg.query('ROLLBACK')
    same(await this.count(), 0)
    await this.pg.query('BEGIN')
    await this.insert(1)
    await this.insert(2)
    await this.pg.query('COMMIT')
    same(await this.clear(), 2)
  }

  // Each query has a Sync of its own here, so one that fails leaves the others alone.
  async pipeline() {
    const client = new pg.Client({ ...this.options, pipeline: true })
    await client.connect()
    const divide = n => client.query({ name: 'divide', text: 'SELECT $1::text t, 20 / $2::int n', values: [this.token, n] })
    const answers = await Promise.allSettled([20, 10, 0, 5, 0, 4].map(divide))
    same(answers.map(({ value, reason }) => reason?.code ?? value.rows[0]),
      [1, 2, '22012', 4, '22012', 5].map(n => typeof n === 'string' ? n : { t: this.token, n }))
    await client.end()
  }

  async copy() {
    const lines = Array.from({ length: 100 }, (_, n) => `${this.token}\t${n}\n`)
    await pipeline(Readable.from(lines), this.pg.query(copyFrom('COPY tokens FROM STDIN')))
    const chunks = []
    for await (const chunk of this.pg.query(
      copyTo(`COPY (SELECT * FROM tokens WHERE token = '${this.token}' ORDER BY n) TO STDOUT`))) chunks.push(chunk)
    same(Buffer.concat(chunks).toString(), lines.join(''))

    const wrong = [`${this.token}\t101\n`, `${this.token}\tx\n`]
    await fails('22P02', pipeline(Readable.from(wrong), this.pg.query(copyFrom('COPY tokens FROM STDIN'))))
    const broken = this.pg.query(copyFrom('COPY tokens FROM STDIN'))
    await new Promise(resolve => broken.on('error', resolve).destroy(new Error('the application gives up')))
    same(await this.clear(), 100)
  }

  async error() {
    await fails('22012', this.row('SELECT 7 / $1::int', 0))
    same(await this.row('SELECT 7 / $1::int', 1), [7])
    await fails('42601', this.pg.query('SELEC 1'))
    for (let i = 0; i < 2; i++) await fails('42P01', this.row('SELECT * FROM nowhere WHERE token = $1', this.token))
    await this.pg.query('BEGIN')
    await this.insert(1)
    await fails('23505', this.insert(1))
    await fails('25P02', this.insert(2))
    await this.pg.query('ROLLBACK')
    same(await this.count(), 0)
  }

  async cursor() {
    await this.pg.query('BEGIN')
    const cursor = this.pg.query(new Cursor('SELECT $1::text, n FROM generate_series(1, 35) n', [this.token],
      { rowMode: 'array' }))
    for (let n = 1; n <= 35;) {
      const rows = await cursor.read(10)
      same(rows, rows.map((_, i) => [this.token, n + i]))
      n += rows.length
    }
    await cursor.close()
    await this.pg.query('COMMIT')
  }

  async large() {
    const text = this.token + 'x'.repeat(300_000)
    same(await this.row('SELECT $1::text', text), [text])
  }

  async cancel() {
    const query = new pg.Query('SELECT pg_sleep(60)')
    const done = new Promise((resolve, reject) => query.on('error', reject).on('end', resolve))
    this.pg.query(query)
    await asleep(this.token)
    new pg.Client(this.options).cancel(this.pg, query)
    await fails('57014', done)
    same(await this.row('SELECT $1::text', this.token), [this.token])
  }

  // The driver never lets go of a name.
  async forget() {
    await this.named()
    const name = `forgotten ${this.names.size}`
    const query = { name, text: `SELECT $1::text || '${name}'`, values: [this.token], rowMode: 'array' }
    this.names.set(query.text, name)
    same((await this.pg.query(query)).rows, [[this.token + name]])
    await this.pg.query(`DEALLOCATE "${name}"`)
    await fails('26000', this.pg.query(query))
    await this.named()
  }

  async changing() {
    const query = this.prepared('SELECT * FROM changing WHERE id = $1')
    unchanged(this.number, (await this.pg.query({ ...query, rowMode: 'object', values: [this.number] })).rows[0])
  }
}

run(`node-postgres ${require('./package.json').dependencies.pg}`, Client)
