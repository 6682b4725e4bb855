--- The engine killed with deliveries under way: what it had taken, and what it had not, arrives within seconds of the next
--- start, whatever the minute and the lease of those messages say.

local engine = require "tests.support.engine"
local cjson = require "cjson"
local socket = require "socket"

local RULE = [[
return rule {
  id = "test.all", version = "1.0.0", severity = "high", title = "All", description = "Every transaction but those of Z.",
  cooldown = "0s",
  evaluate = function(tx)
    if tx.from ~= Z then return alert { score = 0.9, dedup = tx.hash } end
  end,
  tests = {
    { name = "quiet", given = tx { from = Z }, expect = "quiet" },
    { name = "fires", given = tx {}, expect = "alert" },
  },
}
]]

describe("deliveries after kill -9", function()
  local dir, file, e, env

  setup(function()
    dir = engine.tmpdir()
    file = dir .. "/received"
    os.execute("mkdir " .. dir .. "/rules")
    engine.write(dir .. "/rules/all.lua", RULE)
    os.execute(("node tests/support/receiver.mjs %s >%s/ports 2>&1 & echo $! >%s/receiver.pid"):format(file, dir, dir))
    local port = engine.wait("the receiver", 20, function() return (engine.read(dir .. "/ports") or ""):match("(%d+) %d+\n") end)
    engine.write(dir .. "/chainwatch.lua", string.format([[
return {
  rules = { dir = "%s/rules" },
  deliver = { { name = "hook", url = "http://127.0.0.1:%s/hang", allow_private = true, per_minute = 1000, group = 4, timeout_ms = 60000 } },
}]], dir, port))
    env = "CHAINWATCH_CONFIG=" .. dir .. "/chainwatch.lua"
    e = engine.start { env = env, dir = dir }
  end)
  teardown(function()
    e:stop()
    os.execute("kill $(cat " .. dir .. "/receiver.pid) 2>/dev/null; rm -rf " .. dir)
  end)

  it("go on within ten seconds of the next start, each event arrives", function()
    local hashes = {}
    for i = 1, 60 do
      local tx = engine.tx()
      hashes[i] = tx.hash
      assert.equal(200, (e:post("/api/v1/predict", tx)))
    end
    e:post("/api/v1/jobs/deliver/run")      -- its own begins with the next minute
    engine.wait("messages under way", 20, function() return e:sql("SELECT count(*) FROM outbox WHERE claimed_by <> ''") ~= "0" end)
    e:kill "KILL"
    engine.wait("its end", 10, function() return not e:alive() end)
    engine.write(file .. ".up", "")
    e = engine.start { env = env, dir = dir }
    local from = socket.gettime()
    engine.wait("all events to arrive", 20, function()
      local arrived, n = {}, 0
      for line in (engine.read(file) or ""):gmatch("[^\n]+") do
        local entry = cjson.decode(line)
        for hash in (entry.status == 204 and entry.body or ""):gmatch('"hash":"(0x%x+)"') do arrived[hash] = true end
      end
      for _, hash in ipairs(hashes) do n = n + (arrived[hash] and 1 or 0) end
      return n == #hashes
    end)
    assert.is_true(socket.gettime() - from < 15, "took " .. socket.gettime() - from .. " s")
    local runs = e:sql("SELECT string_agg(status, ' ' ORDER BY id) FROM job_runs WHERE name = 'deliver'")
    assert.is_truthy(runs:find("interrupted", 1, true), runs)
  end)
end)
