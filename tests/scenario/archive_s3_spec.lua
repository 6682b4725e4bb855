--- Retention archives into a bucket: signed requests against an S3 server that checks signatures; rows go only when the
--- object is there.

local engine = require "tests.support.engine"

local POLICY = [[
retention {
  slice = 30,
  { name = "metrics", table = "system_metrics", where = { metric = "old" }, keep = "60d", action = "archive", to = "s3://cold/engine a" },
}
]]

describe("an archive in a bucket", function()
  local dir, scripts, port, pid

  setup(function()
    dir, scripts = engine.tmpdir(), engine.tmpdir()
    os.execute("cp -r scripts/. " .. scripts)
    engine.write(scripts .. "/policy/retention.lua", POLICY)
    engine.write(dir .. "/s3.js", string.format([[
      const S3rver = require(process.cwd() + "/tests/tools/node_modules/@20minutes/s3rver"), fs = require("fs");
      new S3rver({ port: 0, address: "127.0.0.1", silent: true, directory: %q, configureBuckets: [{ name: "cold" }] })
        .run((err, at) => { if (err) throw err; fs.writeFileSync(%q, "" + at.port); });
    ]], dir .. "/data", dir .. "/port"))
    os.execute(string.format("node %s/s3.js >%s/log 2>&1 & echo $! >%s/pid", dir, dir, dir))
    pid = engine.read(dir .. "/pid"):match("%d+")
    port = engine.wait("the S3 server", 20, function() return tonumber(engine.read(dir .. "/port") or "") end)
  end)
  teardown(function()
    if pid then os.execute("kill " .. pid .. " 2>/dev/null") end
    os.execute("rm -rf " .. dir .. " " .. scripts)
  end)

  local function archive(secret)
    local e = engine.start {
      sets = { "scripts.dir=" .. scripts },
      env = string.format("AWS_ACCESS_KEY_ID=S3RVER AWS_SECRET_ACCESS_KEY=%s AWS_REGION=eu-west-1 AWS_ENDPOINT_URL=http://127.0.0.1:%d",
        secret, port),
    }
    e:sql [[INSERT INTO system_metrics (metric_name, metric_value, timestamp) SELECT 'old', i, timestamptz '2025-01-31'
      FROM generate_series(1, 70) i]]
    local _, begun = e:post "/api/v1/admin/retention"
    local run = engine.wait("the run to end", 30, function()
      local _, one = e:get("/api/v1/jobs/retention/runs/" .. begun.id)
      return one.status ~= "running" and one
    end)
    local left = e:sql "SELECT count(*) FROM system_metrics WHERE metric_name = 'old'"
    e:stop()
    return run, tonumber(left)
  end

  it("keeps the rows when the bucket refuses", function()
    local run, left = archive "wrong"
    assert.equal("failed", run.status)
    assert.is_truthy(run.error:find("the bucket answered 403", 1, true), run.error)
    assert.is_truthy(run.error:find("SignatureDoesNotMatch", 1, true), run.error)
    assert.equal(70, left)
  end)

  it("deletes them when it has taken them", function()
    local run, left = archive "S3RVER"
    assert.equal("succeeded", run.status, run.error)
    assert.equal(70, run.detail.rules[1].rows)
    assert.equal(0, left)
    local _, lines = engine.run("find " .. dir .. "/data -type f -name '*_object' | while read f; do zcat < \"$f\"; done")
    local _, n = lines:gsub('"metric_name":"old"', "")
    assert.equal(70, n)
  end)
end)
