--- The unit, and what the engine does for a service manager: notification, watchdog, a socket that is passed on, credentials;
--- and an installed tree that runs.

local engine = require "tests.support.engine"
local cjson = require "cjson"
local socket = require "socket"

describe("service", function()
  local dir
  setup(function() dir = engine.tmpdir() end)
  teardown(function() os.execute("rm -rf " .. dir) end)

  it("is a hardened unit that systemd understands", function()
    if engine.run("command -v systemd-analyze") ~= 0 then return end
    os.execute(string.format("sed 's#@BIN@#%s#' conf/chainwatch.service >%s/chainwatch.service; cp conf/chainwatch.socket %s/", "/bin",
      dir, dir))
    local _, words = engine.run("systemd-analyze security --offline=true " .. dir .. "/chainwatch.service")
    local score = tonumber(words:match("Overall exposure level for chainwatch.service: ([%d.]+)"))
    assert.is_true(score <= 2.0, words)
    _, words = engine.run("systemd-analyze verify " .. dir .. "/chainwatch.service " .. dir .. "/chainwatch.socket")
    words = words:gsub("[^\n]*is not executable[^\n]*\n", "")
    assert.is_nil(words:find("chainwatch.service:", 1, true), words)
    assert.is_nil(engine.read("conf/chainwatch.service"):find("\nMemoryDenyWriteExecute"))
  end)

  it("tells when it is ready, keeps the watchdog quiet, and says when it stops", function()
    -- systemd-notify's other end: a datagram socket that keeps what it hears
    engine.write(dir .. "/hear.py", [[
import os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
with open(sys.argv[2], "a") as out:
    while True:
        out.write(s.recv(4096).decode().replace("\n", " ") + "\n")
        out.flush()
]])
    if engine.run("command -v python3") ~= 0 then return end
    local heard = dir .. "/heard"
    os.execute(string.format("python3 %s/hear.py %s/notify %s & echo $! >%s/hear.pid", dir, dir, heard, dir))
    engine.wait("the listener", 10, function() return engine.run("test -S " .. dir .. "/notify") == 0 end)
    local e = engine.start { env = "NOTIFY_SOCKET=" .. dir .. "/notify WATCHDOG_USEC=400000" }
    engine.wait("READY and three beats", 20, function()
      local text = engine.read(heard) or ""
      local _, beats = text:gsub("WATCHDOG=1", "")
      return text:find("READY=1", 1, true) and beats >= 3
    end)
    e:stop()
    assert.is_truthy(engine.read(heard):find("STOPPING=1", 1, true))
    os.execute("kill $(cat " .. dir .. "/hear.pid)")
  end)

  it("takes a socket that was bound before it", function()
    if engine.run("command -v systemd-socket-activate") ~= 0 then return end
    local data = dir .. "/activated"
    os.execute("mkdir " .. data)
    local probe = assert(socket.bind("127.0.0.1", 0))
    local _, port = probe:getsockname()
    probe:close()
    os.execute(string.format("systemd-socket-activate -l 127.0.0.1:%s %s serve --data-dir %s >%s/log 2>&1 & echo $! >%s/pid", port,
      engine.bin, data, data, data))
    local code, words
    engine.wait("an answer on the passed socket", 60, function()
      code, words = engine.run("curl -s -m 50 http://127.0.0.1:" .. port .. "/health/live")
      return code == 0
    end)
    assert.equal("ok", cjson.decode(words).status)
    os.execute("kill $(cat " .. data .. "/pid)")
    engine.wait("its end", 20, function() return engine.run("kill -0 $(cat " .. data .. "/pid)") ~= 0 end)
  end)

  it("reads secrets that were loaded for it", function()
    os.execute("mkdir " .. dir .. "/credentials")
    engine.write(dir .. "/credentials/database_url", "postgresql://me:hunter2@127.0.0.1:1/x\n")
    local function check(text, env)
      engine.write(dir .. "/c.lua", "return { database = { url = " .. text .. " } }\n")
      return engine.run((env or "") .. " " .. engine.bin .. " check --settings -c " .. dir .. "/c.lua")
    end
    local with = "CREDENTIALS_DIRECTORY=" .. dir .. "/credentials"
    local code, words = check('credential("database_url")', with)
    assert.equal(0, code, words)
    assert.equal("***", cjson.decode(words).database.url)
    code, words = check('credential("database_url")')
    assert.equal(2, code)
    assert.is_truthy(words:find("there is no $CREDENTIALS_DIRECTORY", 1, true), words)
    code, words = check('credential("../passwd")', with)
    assert.equal(2, code)
    assert.is_truthy(words:find('"../passwd" is no name of a credential', 1, true), words)
    code, words = check('credential("other")', with)
    assert.equal(2, code)
    assert.is_truthy(words:find("other", 1, true), words)
  end)

  it("runs from where it was installed", function()
    local tree = dir .. "/tree"
    local code, words = engine.run("env -u BUILD make -s install DESTDIR=" .. tree .. " PREFIX=/usr")
    assert.equal(0, code, words)
    assert.is_truthy(engine.read(tree .. "/usr/lib/systemd/system/chainwatch.service"):find("ExecStart=/usr/bin/chainwatch serve", 1, true))
    local share = tree .. "/usr/share/chainwatch"
    -- as it would stand at its place: the prefix of the tree before each path
    local conf = engine.read(tree .. "/etc/chainwatch/chainwatch.lua"):gsub('"/', '"' .. tree .. "/")
    engine.write(dir .. "/installed.lua", conf)
    local e = engine.start { env = "cd / && CHAINWATCH_CONFIG=" .. dir .. "/installed.lua", bin = tree .. "/usr/bin/chainwatch" }
    assert.equal(200, (e:post("/api/v1/predict", engine.tx())))
    e:stop()
    code = engine.run("test -x " .. share .. "/scripts/ops/backup.sh")
    assert.equal(0, code)
    -- settings of the operator stay, the rest goes
    engine.write(tree .. "/etc/chainwatch/chainwatch.lua", "return {} -- mine\n")
    engine.run("env -u BUILD make -s install DESTDIR=" .. tree .. " PREFIX=/usr")
    assert.equal("return {} -- mine\n", engine.read(tree .. "/etc/chainwatch/chainwatch.lua"))
    engine.run("env -u BUILD make -s uninstall DESTDIR=" .. tree .. " PREFIX=/usr")
    assert.is_nil(engine.read(tree .. "/usr/bin/chainwatch"))
    assert.equal("return {} -- mine\n", engine.read(tree .. "/etc/chainwatch/chainwatch.lua"))
  end)
end)
