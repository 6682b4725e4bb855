--- Detector state over a restart: by checkpoint, by replay, with a damaged checkpoint; verdicts go on as if nothing had
--- happened.

local engine = require "tests.support.engine"

-- 24 receivers before the restart, the 25th after it: fires only if the state is whole.
local function pay(e, sender, from, to)
  local last
  for i = from, to do
    local _, verdict = e:post("/api/v1/predict", engine.tx { from = string.format("0x%040x", sender),
      to = string.format("0x%040x", 5000 + i), timestamp = 1780000000 + i })
    assert.is_false(verdict.duplicate)
    last = verdict
  end
  return last
end

local function fired(verdict)
  for _, a in ipairs(verdict.alerts) do if a.rule == "eth.fan_out" then return true end end
  return false
end

describe("detector state", function()
  local dir
  before_each(function() dir = engine.tmpdir() end)
  after_each(function() os.execute("rm -rf " .. dir) end)

  it("comes back from a checkpoint after a clean stop", function()
    local e = engine.start { dir = dir }
    assert.is_false(fired(pay(e, 1, 1, 24)))
    e:stop()
    e = engine.start { dir = dir }
    assert.is_truthy(engine.read(e.log):find("checkpoint loaded", 1, true))
    assert.is_true(fired(pay(e, 1, 25, 25)))
    e:stop()
  end)

  it("is replayed from the store after kill -9", function()
    local e = engine.start { dir = dir }
    assert.is_false(fired(pay(e, 2, 1, 24)))
    e:kill("KILL")
    e = engine.start { dir = dir }
    assert.is_truthy(engine.read(dir .. "/engine.log"):find("level=info group=pipeline", 1, true))
    assert.is_true(fired(pay(e, 2, 25, 25)))
    e:stop()
  end)

  it("is the checkpoint and what came after it", function()
    local e = engine.start { dir = dir, sets = { "rules.checkpoint_s=1" } }
    pay(e, 3, 1, 12)
    engine.wait("a checkpoint", 10, function() return engine.read(dir .. "/state.ckpt") end)
    assert.is_false(fired(pay(e, 3, 13, 24)))
    e:kill("KILL")
    e = engine.start { dir = dir }
    assert.is_true(fired(pay(e, 3, 25, 25)))
    e:stop()
  end)

  it("is replayed when the checkpoint is damaged", function()
    local e = engine.start { dir = dir }
    assert.is_false(fired(pay(e, 4, 1, 24)))
    e:stop()
    local text = engine.read(dir .. "/state.ckpt")
    engine.write(dir .. "/state.ckpt", text:sub(1, 60000) .. "X" .. text:sub(60002))
    e = engine.start { dir = dir }
    assert.is_truthy(engine.read(e.log):find("the checkpoint is not used", 1, true))
    assert.is_true(fired(pay(e, 4, 25, 25)))
    e:stop()
  end)

  it("does not take the checkpoint of another database", function()
    local e = engine.start { dir = dir }
    pay(e, 5, 1, 24)
    e:stop()
    os.execute("rm -rf " .. dir .. "/pg")
    e = engine.start { dir = dir }
    assert.is_truthy(engine.read(e.log):find("the checkpoint is not used", 1, true))
    assert.is_false(fired(pay(e, 5, 25, 25)))
    e:stop { "could not export the head" }   -- nor does the audit log go on
  end)
end)
