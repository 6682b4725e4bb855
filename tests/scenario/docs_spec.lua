--- The examples of the documents run as they stand.

local engine = require "tests.support.engine"

describe("documents", function()
  local e
  setup(function() e = engine.start() end)
  teardown(function() e:stop() end)

  -- The documents speak of the place where `make run` puts things.
  local function here(text)
    text = text:gsub("http://127%.0%.0%.1:8080", "http://127.0.0.1:" .. e.port)
    return (text:gsub("var/admin%.key", e.dir .. "/admin.key"))
  end

  for _, name in ipairs { "API", "OPERATIONS", "DATABASE_MIGRATION_GUIDE" } do
    it("docs/" .. name .. ".md", function()
      local text, blocks = engine.read("docs/" .. name .. ".md"), 0
      local script = { "set -e", "export CHAINWATCH_DATA_DIR=" .. e.dir }
      for block in text:gmatch("\n```sh\n(.-)\n```") do
        blocks = blocks + 1
        script[#script + 1] = here(block)
      end
      assert.is_true(blocks > 0)
      local path = e.dir .. "/" .. name .. ".sh"
      engine.write(path, table.concat(script, "\n") .. "\n")
      local code, words = engine.run("bash " .. path)
      assert.equal(0, code, words)
    end)
  end

  it("docs/RULES.md, from nothing to a rule on trial", function()
    local text = engine.read("docs/RULES.md")
    local function mine(block) return (here(block):gsub("%f[%w]my%f[%W]", e.dir .. "/my")) end
    local script, at = { "set -e", "export CHAINWATCH_DATA_DIR=" .. e.dir }, 1
    while true do
      local from, to, kind, block = text:find("\n```(%l+)\n(.-)\n```", at)
      if not from then break end
      if kind == "lua" then
        local name = text:sub(at, from):match("Save this as `([^`]+)`:")
        block = "cat >" .. name .. " <<'END'\n" .. block .. "\nEND"
      end
      if kind == "sh" or kind == "lua" then script[#script + 1] = mine(block) end
      at = to
    end
    assert.is_true(#script > 9)
    local path = e.dir .. "/RULES.sh"
    engine.write(path, table.concat(script, "\n") .. "\n")
    local code, words = engine.run("bash " .. path)
    assert.equal(0, code, words)
    -- What the page shows is what is printed.
    for line in text:gmatch("\n```text\n(.-)\n```") do
      for l in line:gmatch("[^\n]+") do
        l = l:gsub("^%s+", ""):gsub("^my/", "")
        assert.is_truthy(words:find(l, 1, true), l .. "\n" .. words)
      end
    end
    assert.is_truthy(words:find("acme.dispersal 1.0.0: alert", 1, true), words)
    assert.is_truthy(words:find("live traffic", 1, true) or words:find("decided in line 15", 1, true), words)
  end)

  it("docs/SCRIPTS.md: its endpoints are loaded and answer", function()
    local text, dir = engine.read("docs/SCRIPTS.md"), e.dir .. "/scripts"
    local function sh(block)
      return (block:gsub("/tmp/chainwatch%-", e.dir .. "/"))
    end
    local n, commands = 0, {}
    for block in text:gmatch("\n```sh\n(.-)\n```") do commands[#commands + 1] = sh(block) end
    assert.equal(0, (engine.run(commands[1])))
    for block in text:gmatch("\n```lua\n(.-)\n```") do
      n = n + 1
      engine.write(dir .. "/api/doc" .. n .. ".lua", block .. "\n")
    end
    assert.equal(2, n)
    local code, words = engine.run(commands[2])
    assert.equal(0, code, words)
    local other = engine.start { sets = { "scripts.dir=" .. dir } }
    local script = commands[3]:gsub("http://127%.0%.0%.1:8080", "http://127.0.0.1:" .. other.port)
    engine.write(e.dir .. "/scripts.sh", "set -e\n" .. script:gsub("var/admin%.key", other.dir .. "/admin.key") .. "\n")
    code, words = engine.run("bash " .. e.dir .. "/scripts.sh")
    assert.equal(0, code, words)
    assert.is_truthy(words:find('"sent":0', 1, true), words)
    assert.is_truthy(words:find("40 hex digits", 1, true), words)
    assert.equal(404, (other:post("/api/v1/anomalies/1/dismiss")))
    code, words = engine.run(commands[#commands])
    assert.equal(0, code, words)
    assert.is_truthy(words:find("0xabc", 1, true), words)
    other:stop()
  end)

  it("the rule of README.md passes its tests", function()
    local rule = engine.read("README.md"):match("\n```lua\n(.-)\n```")
    os.execute("mkdir -p " .. e.dir .. "/rules")
    engine.write(e.dir .. "/rules/readme.lua", rule .. "\n")
    local code, words = engine.run(engine.bin .. " rules test --set rules.dir=" .. e.dir .. "/rules")
    assert.equal(0, code, words)
  end)

  it("the request of README.md is answered", function()
    local command = engine.read("README.md"):match("\n(curl %-s %-H .-)\n```")
    engine.write(e.dir .. "/readme.sh", "set -e\n" .. here(command) .. "\n")
    local code, words = engine.run("bash " .. e.dir .. "/readme.sh")
    assert.equal(0, code, words)
    assert.is_truthy(words:find('"is_anomaly"', 1, true), words)
    assert.is_truthy(words:find('"items"', 1, true), words)
  end)
end)
