package dns

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/miekg/dns"
)

// Whatever a nameserver sends, a lookup ends, with addresses or with an error of ours.
func FuzzAnswer(f *testing.F) {
	seed := func(question string, qtype uint16, lines ...string) {
		m := new(dns.Msg).SetQuestion(question, qtype)
		m.Response = true
		for _, line := range lines {
			rr, err := dns.NewRR(line)
			if err != nil {
				f.Fatal(err)
			}
			m.Answer = append(m.Answer, rr)
		}
		wire, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	seed("a.test.", dns.TypeA, "a.test. 60 IN A 10.0.0.1")
	seed("a.test.", dns.TypeA, "a.test. 60 IN CNAME b.test.", "b.test. 60 IN A 10.0.0.1")
	seed("a.test.", dns.TypeSRV, "a.test. 60 IN SRV 1 2 3 a.test.", "a.test. 60 IN SRV 0 65535 0 b.test.")
	seed("a.test.", dns.TypeAAAA, "a.test. 4294967295 IN AAAA ::ffff:1.2.3.4")
	seed("a.test.", dns.TypeCNAME, "a.test. 0 IN CNAME a.test.")
	f.Fuzz(func(t *testing.T, wire []byte) {
		m := new(dns.Msg)
		if m.Unpack(wire) != nil || len(m.Question) != 1 {
			return
		}
		r, err := New(Config{ResolvConf: os.DevNull, HostsFile: os.DevNull})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		asked := 0
		r.exchange = func(context.Context, string, uint16) (*dns.Msg, error) {
			asked++
			return m, nil
		}
		name := m.Question[0].Name
		found, err := r.search(t.Context(), name, 0, maxDepth)
		var ours *Error
		switch {
		case err != nil && !errors.As(err, &ours):
			t.Errorf("got error %v of type %T", err, err)
		case err == nil && (len(found.records) == 0 || len(found.records) > maxRecords || found.ttl < 0 || found.ttl > maxTTL):
			t.Errorf("got %d records with TTL %v", len(found.records), found.ttl)
		}
		for _, rec := range found.records {
			if !rec.ip.IsValid() && (rec.target == "" || rec.weight < 1) {
				t.Errorf("record %+v leads nowhere", rec)
			}
		}
		if asked > 1000 {
			t.Errorf("got %d questions for one name", asked)
		}
	})
}
