package router

import (
	"strings"

	"sidekong/configs/entity"
)

// priority gives the number that rules are ordered by, for a route and those of its paths that share a rule: all
// regular expressions, or plain ones of one length.
//
// The documented order is: number of attributes, plain hosts, number of headers, regular expressions, regex_priority,
// length of the path. Kong means to write them into one 64-bit number, but its shifts are LuaJIT's on 32-bit integers:
// the count is taken modulo 32 and the result is signed. Hence fields overlap, and clients depend on the outcome, so
// it is reproduced here with the two ways in which LuaJIT makes a negative term into an unsigned number.
//
// Kong: kong/router/transform.lua get_priority
func priority(route *entity.Route, paths []string) uint64 {
	const (
		plainHosts = 1 << 60
		regexPaths = 1 << 51
		maxHeaders = 255
	)
	weight := int32(0)
	for _, present := range []bool{
		len(route.Methods) > 0, len(route.Hosts) > 0, len(route.Headers) > 0, len(route.SNIs) > 0, len(paths) > 0,
	} {
		if present {
			weight++
		}
	}
	weight <<= 61 % 32
	headers := int32(min(len(route.Headers), maxHeaders)) << (52 % 32)

	var wide uint64 // the terms that are 64 bits wide in Kong
	if route.Hosts != nil && !hasWildcard(route.Hosts) {
		wide |= plainHosts
	}
	var regexPriority, length int32
	if len(paths) > 0 {
		if isRegex(paths[0]) {
			wide |= regexPaths
			regexPriority = int32(route.RegexPriority) << 19
		} else {
			length = int32(len(paths[0]) & 0x7ffff)
		}
	}
	if wide == 0 {
		return unsigned(weight | headers | regexPriority | length)
	}
	return wide | unsigned(weight) | unsigned(headers) | unsigned(regexPriority) | unsigned(length)
}

// unsigned converts as LuaJIT's interpreter does on x86-64, by way of a floating-point number.
func unsigned(n int32) uint64 {
	if n < 0 {
		return 1 << 63
	}
	return uint64(n)
}

func hasWildcard(hosts []string) bool {
	for _, h := range hosts {
		if strings.Contains(h, "*") {
			return true
		}
	}
	return false
}
