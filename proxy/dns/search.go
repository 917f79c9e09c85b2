package dns

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// record is one answer to a question: an address, or an SRV target to look up further.
type record struct {
	ip       netip.Addr
	target   string // SRV: fully qualified, lower case
	port     int
	weight   int
	priority uint16
}

// answer is what a search found.
type answer struct {
	records []record
	qtype   uint16
	ttl     time.Duration
}

// search asks for host, type by type in the configured order and within each type along the search list, until there
// are records. Error codes and empty answers move on; a nameserver that gives no answer at all ends the search, so that
// a failed SRV query is not taken for "no SRV records".
//
// Kong: kong/resty/dns/client.lua resolve, search_iter
func (r *Resolver) search(ctx context.Context, host string, last uint16, depth int) (answer, error) {
	if depth == 0 {
		return answer{}, errRecursion
	}
	if _, ok := dns.IsDomainName(host); !ok || host == "" || host == "." || strings.HasPrefix(host, ".") {
		return answer{}, errBadName
	}
	var failure error = errEmpty
	names := r.names(host)
	for _, qtype := range r.types(last) {
		for _, name := range names {
			if len(name) > 254 {
				failure = errNameError
				continue
			}
			found, err := r.query(ctx, name, qtype, depth)
			if err == nil {
				return found, nil
			}
			if asError(name, err).silent {
				return answer{}, err
			}
			failure = err
		}
	}
	return answer{}, failure
}

// types returns the configured order, with the type that answered last in front.
func (r *Resolver) types(last uint16) []uint16 {
	if !r.useLast || last == 0 || !slices.Contains(r.order, last) {
		return r.order
	}
	types := []uint16{last}
	for _, t := range r.order {
		if t != last {
			types = append(types, t)
		}
	}
	return types
}

// query asks for one type of one name and follows CNAME records, within an answer and by further questions. It fails
// where there are no records.
func (r *Resolver) query(ctx context.Context, name string, qtype uint16, depth int) (answer, error) {
	chain := []string{strings.ToLower(name)}
	ttl := maxTTL
	for range depth {
		asked := chain[len(chain)-1]
		msg, err := r.exchange(ctx, asked, qtype)
		if err != nil {
			return answer{}, err
		}
		if msg.Rcode == dns.RcodeNameError {
			return answer{}, errNameError
		}
		for {
			here := chain[len(chain)-1]
			found, alias, err := read(msg, here, qtype)
			found.ttl = min(found.ttl, ttl)
			if err != nil || len(found.records) > 0 {
				return found, err
			}
			if alias == "" {
				break
			}
			if slices.Contains(chain, alias) || len(chain) == maxChain {
				return answer{}, errRecursion
			}
			ttl, chain = found.ttl, append(chain, alias)
			if qtype == dns.TypeCNAME {
				below, err := r.search(ctx, alias, 0, depth-1)
				below.ttl = min(below.ttl, ttl)
				return below, err
			}
		}
		if chain[len(chain)-1] == asked {
			return answer{}, errEmpty
		}
	}
	return answer{}, errRecursion
}

// read takes the records that answer (name, qtype) from msg, or else the name that name is an alias of. Records of
// other names and classes are ignored.
func read(msg *dns.Msg, name string, qtype uint16) (found answer, alias string, err error) {
	found = answer{qtype: qtype, ttl: maxTTL}
	self := 0
	for _, rr := range msg.Answer {
		h := rr.Header()
		if h.Class != dns.ClassINET || !strings.EqualFold(h.Name, name) {
			continue
		}
		if cname, ok := rr.(*dns.CNAME); ok && alias == "" {
			alias = strings.ToLower(cname.Target)
			found.ttl = min(found.ttl, lifetime(h.Ttl))
			continue
		}
		rec, ok := readRecord(rr, qtype)
		if !ok || len(found.records) == maxRecords {
			continue
		}
		if rec.target == name {
			self++
		}
		found.records = append(found.records, rec)
		found.ttl = min(found.ttl, lifetime(h.Ttl))
	}
	if len(found.records) == 0 {
		return found, alias, nil
	}
	// Kubernetes answers an SRV question for a pod's name with that name: no way to an address.
	// Kong: kong/resty/dns/client.lua resolve, "fully recursive SRV record"
	if self == len(found.records) {
		return answer{}, "", errRecursion
	}
	found.records = topPriority(found.records)
	return found, "", nil
}

func readRecord(rr dns.RR, qtype uint16) (record, bool) {
	if rr.Header().Rrtype != qtype {
		return record{}, false
	}
	switch rr := rr.(type) {
	case *dns.A:
		ip, ok := netip.AddrFromSlice(rr.A)
		return record{ip: ip.Unmap()}, ok
	case *dns.AAAA:
		ip, ok := netip.AddrFromSlice(rr.AAAA)
		return record{ip: ip.Unmap()}, ok
	case *dns.SRV:
		// "." says that there is no such service (RFC 2782), and "" is what a record without data unpacks to.
		return record{
			target: strings.ToLower(rr.Target), port: int(rr.Port),
			weight: max(int(rr.Weight), 1), priority: rr.Priority,
		}, rr.Target != "." && rr.Target != ""
	}
	return record{}, false
}

// topPriority keeps the SRV records of the lowest priority number; others have none.
//
// Kong: kong/resty/dns/client.lua roundRobinW
func topPriority(records []record) []record {
	top := records[0].priority
	for _, rec := range records {
		top = min(top, rec.priority)
	}
	kept := records[:0]
	for _, rec := range records {
		if rec.priority == top {
			kept = append(kept, rec)
		}
	}
	return kept
}

// lifetime reads a TTL; one with the highest bit set counts as 0 (RFC 2181 section 8).
func lifetime(seconds uint32) time.Duration {
	if seconds > 1<<31-1 {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, maxTTL)
}
