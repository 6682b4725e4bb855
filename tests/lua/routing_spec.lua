-- Which target wants which alert: the filters of the setting `deliver`, as scripts/lib/delivery.lua reads them.
package.path = "scripts/?.lua;" .. package.path
local delivery = require "lib.delivery"

local ALERT = {
  rule = "eth.fan_out", severity = "high", transaction = { chainId = "1" },
  labels = {
    { list = "ofac", category = "sanctioned", use = "evidence" },
    { list = "routers", category = "router", use = "suppression" },
  },
}
local TAGS = { "aml.dispersal", "velocity" }

describe("routing", function()
  it("takes what fits every filter that is given", function()
    for _, case in ipairs {
      { {}, true },
      { { events = { "new" } }, true }, { { events = { "retracted" } }, false },
      { { min_severity = "medium" }, true }, { { min_severity = "high" }, true }, { { min_severity = "critical" }, false },
      { { rules = { "eth.*" } }, true }, { { rules = { "btc.*", "*_out" } }, true }, { { rules = { "eth.fan" } }, false },
      { { not_rules = { "eth.fan_*" } }, false }, { { not_rules = { "btc.*" } }, true },
      { { chains = { "1", "10" } }, true }, { { chains = { "10" } }, false },
      { { tags = { "aml.*" } }, true }, { { tags = { "fraud.*" } }, false },
      { { labels = { "ofac" } }, true }, { { labels = { "sanc*" } }, true },
      { { labels = { "phishing", "mixer" } }, false },
      { { labels = { "router", "routers" } }, false },     -- what hid it is no ground for telling it
      { { rules = { "eth.*" }, labels = { "ofac" }, min_severity = "critical" }, false },
    } do
      assert.equal(case[2], delivery.wants(case[1], "new", ALERT, TAGS), require("cjson").encode(case[1]))
    end
  end)

  it("finds no labels and no tags where an alert has none", function()
    local bare = { rule = "eth.fan_out", severity = "low" }
    assert.is_false(delivery.wants({ labels = { "*" } }, "new", bare))
    assert.is_false(delivery.wants({ tags = { "*" } }, "new", bare))
    assert.is_false(delivery.wants({ chains = { "1" } }, "new", bare))
    assert.is_true(delivery.wants({}, "new", bare))
  end)

  it("lets a star stand for anything, anywhere in the pattern", function()
    for _, case in ipairs {
      { "*", "", true }, { "*", "x", true }, { "a*", "a", true }, { "a*c", "abc", true }, { "a*c", "ab", false },
      { "a*b*c", "a1b2c", true }, { "a*b*c", "acb", false }, { "*b", "ab", true }, { "*b", "ba", false },
      { "a.c", "abc", false }, { "ab*ba", "aba", false }, { "%*", "%x", true },
    } do
      assert.equal(case[3], delivery.fits(case[1], case[2]), case[1] .. " " .. case[2])
    end
  end)
end)
