package declarative

import (
	"math"
	"regexp"
	"strconv"
	"strings"
)

// resolveScalar gives the value of a scalar without quotes or tag as Kong's YAML reader sees it, which is YAML 1.1's
// view: yes, no, on and off are booleans, 0777 is octal, 12:30 is 750 (base 60); dates stay text.
//
// Kong: lyaml lib/lyaml/implicit.lua
func resolveScalar(s string) any {
	if v, ok := words[s]; ok {
		return v
	}
	if s == "" || !strings.ContainsRune("+-._0123456789", rune(s[0])) {
		return s
	}
	for _, n := range numbers {
		if m := n.pattern.FindStringSubmatch(s); m != nil {
			v := n.value(strings.ReplaceAll(m[2], "_", ""))
			if m[1] == "-" {
				v = -v
			}
			return v
		}
	}
	return s
}

var words = map[string]any{
	"": nil, "~": nil, "null": nil, "Null": nil, "NULL": nil,
	"true": true, "True": true, "TRUE": true, "false": false, "False": false, "FALSE": false,
	"yes": true, "Yes": true, "YES": true, "no": false, "No": false, "NO": false,
	"on": true, "On": true, "ON": true, "off": false, "Off": false, "OFF": false,
	".inf": math.Inf(1), ".Inf": math.Inf(1), ".INF": math.Inf(1),
	"+.inf": math.Inf(1), "+.Inf": math.Inf(1), "+.INF": math.Inf(1),
	"-.inf": math.Inf(-1), "-.Inf": math.Inf(-1), "-.INF": math.Inf(-1),
	".nan": math.NaN(), ".NaN": math.NaN(), ".NAN": math.NaN(),
}

// numbers are tried in this order: a sign, then the digits.
var numbers = []struct {
	pattern *regexp.Regexp
	value   func(digits string) float64
}{
	{regexp.MustCompile(`^([+-]?)0_*([0-7][0-7_]*)$`), inBase(8)},
	{regexp.MustCompile(`^([+-]?)_*([0-9][0-9_]*)$`), inBase(10)},
	{regexp.MustCompile(`^([+-]?)((?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9]+)?)$`), decimal},
	{regexp.MustCompile(`^([+-]?)0x_*([0-9a-fA-F][0-9a-fA-F_]*)$`), inBase(16)},
	{regexp.MustCompile(`^([+-]?)0b_*([01][01_]+)$`), inBase(2)},
	{regexp.MustCompile(`^([+-]?)([0-9]+:[0-5]?[0-9][:0-9]*(?:\.[0-9]+)?)$`), sexagesimal},
}

func decimal(digits string) float64 {
	v, _ := strconv.ParseFloat(digits, 64) // out of range gives an infinity, which the caller refuses
	return v
}

func inBase(base float64) func(string) float64 {
	if base == 10 {
		return decimal
	}
	return func(digits string) float64 {
		v := 0.0
		for _, d := range digits {
			digit, _ := strconv.ParseUint(string(d), int(base), 8)
			v = v*base + float64(digit)
		}
		return v
	}
}

func sexagesimal(digits string) float64 {
	whole, fraction, _ := strings.Cut(digits, ".")
	v := 0.0
	for part := range strings.SplitSeq(whole, ":") {
		if part != "" {
			v = v*60 + decimal(part)
		}
	}
	if fraction != "" {
		v += decimal("." + fraction)
	}
	return v
}
