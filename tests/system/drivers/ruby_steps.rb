# The steps of test_drivers.py with Ruby's pg.

require 'json'
require 'pg'

OPTIONS = ARGV.to_h { |word| word.split('=', 2) }
STEPS = OPTIONS['steps'].split(',')

# One application; raises when an answer is not the one to its own question.
class Client
  attr_reader :number, :token

  def initialize(number)
    @number = number
    @token = "ruby-#{number}"
  end

  def open
    @pg = PG.connect(**OPTIONS.slice('host', 'port', 'dbname', 'user').transform_keys(&:to_sym),
                     application_name: token)
    @names = {}
  end

  def close
    @pg.close
  end

  def same(found, expected)
    raise "#{found.inspect} instead of #{expected.inspect}"[0, 500] unless found == expected
  end

  def fails(error)
    yield
  rescue error
    nil
  else
    raise "no #{error}"
  end

  # The name of a statement that belongs to its text.
  def prepared(sql)
    @names[sql] ||= "s#{@names.size}".tap { |name| @pg.prepare(name, sql) }
  end

  def row(sql, *values)
    @pg.exec_prepared(prepared(sql), values).values.first
  end

  def named
    6.times do |turn|
      4.times do |kind|
        same(row("SELECT $1::text || '-#{kind}', $2::int + #{kind}", token, turn),
             ["#{token}-#{kind}", (turn + kind).to_s])
      end
    end
  end

  def types
    same(row("SELECT ROW($1::text, $2::int)::pair, 'busy'::mood, ARRAY[$2::int, 2], NULL::text,
              convert_to($1::text, 'UTF8'), 12345.678::numeric", token, number),
         ["(#{token},#{number})", 'busy', "{#{number},2}", nil, "\\x#{token.unpack1('H*')}", '12345.678'])
  end

  def settings
    same(row('SHOW application_name'), [token])
    @pg.transaction do
      row("SELECT set_config('statement_timeout', $1, true)", "#{number}min")
      same(row("SELECT extract(epoch FROM current_setting('statement_timeout')::interval)::int"), [(number * 60).to_s])
    end
    same(row('SHOW statement_timeout'), ['0'])
  end

  def count
    row('SELECT count(*) FROM tokens WHERE token = $1', token).first.to_i
  end

  def clear
    @pg.exec_params('DELETE FROM tokens WHERE token = $1', [token]).cmd_tuples
  end

  def insert(number)
    @pg.exec_prepared(prepared('INSERT INTO tokens VALUES ($1, $2)'), [token, number])
  end

  def transaction
    prepared('INSERT INTO tokens VALUES ($1, $2)') # not in a transaction that may be rolled back
    fails(IOError) do
      @pg.transaction do
        insert(1)
        same(count, 1)
        raise IOError, 'the application gives up'
      end
    end
    same(count, 0)
    @pg.transaction do
      insert(1)
      insert(2)
    end
    same(clear, 2)
  end

  # The results up to a Sync, each as its rows or its SQLSTATE.
  def results_of_segment
    results = []
    loop do
      result = @pg.get_result
      next unless result # the end of one query
      return results if result.result_status == PG::PGRES_PIPELINE_SYNC

      results << if result.result_status == PG::PGRES_PIPELINE_ABORTED then :skipped
                 else result.error_field(PG::PG_DIAG_SQLSTATE) || result.values
                 end
    end
  end

  def pipeline
    name = prepared('SELECT $1::text, 20 / $2::int')
    @pg.enter_pipeline_mode
    [[20, 10, 0, 5], [4], [2, 0], [1]].each do |segment|
      segment.each { |n| @pg.send_query_prepared(name, [token, n]) }
      @pg.pipeline_sync
    end
    ours = ->(*numbers) { numbers.map { |n| [[token, n.to_s]] } }
    same(results_of_segment, ours[1, 2] + ['22012', :skipped])
    same(results_of_segment, ours[5])
    same(results_of_segment, ours[10] + ['22012'])
    same(results_of_segment, ours[20])
    @pg.exit_pipeline_mode
  end

  def copy
    lines = Array.new(100) { |n| "#{token}\t#{n}\n" }
    @pg.copy_data('COPY tokens FROM STDIN') { lines.each { |line| @pg.put_copy_data(line) } }
    found = []
    @pg.copy_data("COPY (SELECT * FROM tokens WHERE token = '#{token}' ORDER BY n) TO STDOUT") do
      while (line = @pg.get_copy_data)
        found << line
      end
    end
    same(found, lines)
    fails(PG::InvalidTextRepresentation) do
      @pg.copy_data('COPY tokens FROM STDIN') { @pg.put_copy_data("#{token}\t101\n#{token}\tx\n") }
    end
    fails(IOError) do
      @pg.copy_data('COPY tokens FROM STDIN') do
        @pg.put_copy_data("#{token}\t101\n")
        raise IOError, 'the application gives up'
      end
    end
    same(clear, 100)
  end

  def error
    fails(PG::DivisionByZero) { row('SELECT 7 / $1::int', 0) }
    same(row('SELECT 7 / $1::int', 1), ['7'])
    fails(PG::SyntaxError) { @pg.exec('SELEC 1') }
    2.times { fails(PG::UndefinedTable) { row('SELECT * FROM nowhere WHERE token = $1', token) } }
    prepared('INSERT INTO tokens VALUES ($1, $2)')
    @pg.exec('BEGIN')
    insert(1)
    fails(PG::UniqueViolation) { insert(1) }
    fails(PG::InFailedSqlTransaction) { insert(2) }
    @pg.exec('ROLLBACK')
    same(count, 0)
  end

  def cursor
    @pg.transaction do
      @pg.exec_params('DECLARE ten CURSOR FOR SELECT $1::text, n FROM generate_series(1, 35) n', [token])
      rows = []
      while (some = @pg.exec('FETCH 10 FROM ten').values).any?
        rows.concat(some)
      end
      same(rows, Array.new(35) { |n| [token, (n + 1).to_s] })
    end
  end

  def large
    text = token + 'x' * 300_000
    same(row('SELECT $1::text', text), [text])
  end

  def cancel
    sleeping = true
    canceller = Thread.new do
      while sleeping # what comes before the query, or after it, is for nobody
        sleep(0.03)
        @pg.cancel
      end
    end
    fails(PG::QueryCanceled) { @pg.exec('SELECT pg_sleep(60)') }
    sleeping = false
    canceller.join
    same(row('SELECT $1::text', token), [token])
  end

  def forget
    named
    sql = "SELECT $1::text || '-forgotten'"
    same(row(sql, token), ["#{token}-forgotten"])
    @pg.exec("DEALLOCATE #{prepared(sql)}")
    fails(PG::InvalidSqlStatementName) { row(sql, token) }
    @names.delete(sql)
    @pg.exec('DEALLOCATE ALL')
    @names.clear
    named
  end

  def changing
    result = @pg.exec_prepared(prepared('SELECT * FROM changing WHERE id = $1'), [number])
    same({ 'more' => '5' }.merge(result.first),
         { 'id' => number.to_s, 'value' => (1000 + number).to_s, 'more' => '5' })
  end
end

def work(client, done, failures)
  step = 'open'
  client.open
  (OPTIONS['rounds'].to_i * STEPS.size).times do |turn|
    # Each client begins with another step, so that all of them meet.
    step = STEPS[(client.number + turn) % STEPS.size]
    client.public_send(step)
    done[step] += 1
  end
  step = 'close'
  client.close
rescue StandardError => e
  failures << "#{client.token}: #{step}: #{e.class}: #{e.message}"
end

done = STEPS.to_h { |step| [step, 0] }
failures = []
Array.new(OPTIONS['clients'].to_i) { |n| Thread.new { work(Client.new(n), done, failures) } }.each(&:join)
puts JSON.generate({ driver: "ruby-pg #{PG::VERSION}", done: done, failures: failures })
