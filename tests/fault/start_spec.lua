--- An end that comes before the engine is up: it stops cleanly, and the next start goes well.

local engine = require "tests.support.engine"

describe("a signal during the start", function()
  local dir
  setup(function() dir = engine.tmpdir() end)
  teardown(function() os.execute("rm -rf " .. dir) end)

  local function start_and_kill(signal, delay)
    return (select(2, engine.run(string.format(
      "%s serve --listen 127.0.0.1:0 --data-dir %s 2>>%s/log & sleep %s; kill -%s $!; wait $!; echo code $?",
      engine.bin, dir, dir, delay, signal))):match("code (%d+)"))
  end

  -- The first of them hit the making of the cluster and the migrations.
  for _, delay in ipairs { "0.3", "0.9", "0.05", "0.2", "0.4", "0.6" } do
    it("TERM after " .. delay .. " s", function()
      local code = start_and_kill("TERM", delay)
      assert.is_true(code == "0" or code == "143", "exit code " .. code)   -- 143: before it could take the signal
    end)
  end

  it("KILL, and then it starts", function()
    for _, delay in ipairs { "0.3", "0.7" } do assert.equal("137", start_and_kill("KILL", delay)) end
    local e = engine.start { dir = dir }
    assert.equal(200, (e:post("/api/v1/predict", engine.tx())))
    e:stop()
  end)
end)
