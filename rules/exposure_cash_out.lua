--- Money that came from a listed address days ago goes into an exchange.
---@type cw.Rule
return rule {
  id = "eth.cash_out",  version = "1.0.0",  severity = "high",  status = "stable",
  title = "Listed money paid into an exchange",
  description = "An address that a listed one paid within the last week pays into an exchange, a good part of that amount at "
    .. "least. It is the last moment at which somebody can hold the money. The exchange knows whose deposit address it "
    .. "is.",
  references = {
    "FATF, Virtual Assets Red Flag Indicators of Money Laundering and Terrorist Financing, 2020: source of funds",
    "Chainalysis, The Crypto Crime Report: money laundering",
  },
  false_positives = { "merchants and traders who were paid by somebody on a list" },
  tags = { "aml.integration", "aml.exposure" },
  params = {
    bad = "exploiter,exploit_contract,service_hack,malicious,phishing,mixer,sanctioned",
    out = "exchange,custodian,instant_exchange",
    window = "7d",
    share = 0.3,             -- of what the listed ones paid
    min_ether = 0.5,
  },
  when = function(p) return { { from_listed = p.bad, min_ether = 0.05 }, { to_listed = p.out, min_ether = p.min_ether } } end,
  state = function(p)
    return {
      got = window.sum { key = "to", of = "value", span = p.window, max_keys = 50000 },
      bad = list.contains { category = p.bad },
      out = list.contains { category = p.out },
    }
  end,
  evaluate = function(tx, s, p)
    if s.bad:has(tx, "from") then
      s.got:add(tx)
      return
    end
    local got = s.got:get(tx, "from") or 0
    if got == 0 or tx.value < p.share * got or s.out:has(tx, "from") then return end
    return alert {
      score = math.min(0.6 + 0.1 * math.log10(1 + tx.ether), 0.95),
      dedup = tx.from,
      explain = { ether = tx.ether, ether_from_listed = got / 1e18, window = p.window, exchange = s.out:name(tx, "to"),
                  deposit = tx.to, sender = tx.from },
    }
  end,
  tests = {
    { name = "fires one step after the theft", lists = { [A] = "exploiter", [X] = "exchange" },
      given = { tx { from = A, to = B, ether = 50 }, tx { from = B, to = X, ether = 49, after = "1d" } },
      expect = { alerts = 1, first = 2, severity = "high", dedup = B } },
    { name = "quiet for a small part", lists = { [A] = "exploiter", [X] = "exchange" },
      given = { tx { from = A, to = B, ether = 50 }, tx { from = B, to = X, ether = 1 } }, expect = "quiet" },
    { name = "quiet after a month", lists = { [A] = "exploiter", [X] = "exchange" },
      given = { tx { from = A, to = B, ether = 50 }, tx { from = B, to = X, ether = 49, after = "30d" } }, expect = "quiet" },
    { name = "quiet for clean money", lists = { [X] = "exchange" },
      given = { tx { from = A, to = B, ether = 50 }, tx { from = B, to = X, ether = 49 } }, expect = "quiet" },
  },
}
