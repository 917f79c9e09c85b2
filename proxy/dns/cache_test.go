package dns

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// scripted is a resolver in front of a function instead of nameservers; reply gets the number of the question.
func scripted(t *testing.T, c Config, reply func(n int) (zone string, rcode int)) (*Resolver, *atomic.Int32) {
	c.ResolvConf, c.HostsFile, c.Order = os.DevNull, os.DevNull, []string{"A"}
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	asked := new(atomic.Int32)
	r.exchange = func(_ context.Context, name string, qtype uint16) (*dns.Msg, error) {
		line, rcode := reply(int(asked.Add(1)))
		if rcode > 0 && rcode != dns.RcodeNameError {
			return nil, serverError(rcode)
		}
		m := new(dns.Msg).SetQuestion(name, qtype)
		m.Rcode = rcode
		if line != "" {
			rr, err := dns.NewRR(name + " " + line)
			if err != nil {
				return nil, err
			}
			m.Answer = []dns.RR{rr}
		}
		return m, nil
	}
	return r, asked
}

func TestCacheOverTime(t *testing.T) {
	type step struct {
		at    time.Duration // since the beginning
		want  string
		asked int32 // questions once everything has come to rest
	}
	number := func(n int) (string, int) { return fmt.Sprintf("10 IN A 10.0.0.%d", n), 0 }
	thenFail := func(rcode int) func(int) (string, int) {
		return func(n int) (string, int) {
			if n == 1 {
				return number(1)
			}
			return "", rcode
		}
	}
	tests := []struct {
		name  string
		c     Config
		reply func(n int) (string, int)
		steps []step
	}{
		{
			"TTL of the records",
			Config{},
			number,
			[]step{{0, "10.0.0.1:80", 1}, {9 * time.Second, "10.0.0.1:80", 1}, {10 * time.Second, "10.0.0.2:80", 2}},
		},
		{
			"valid TTL in place of it",
			Config{ValidTTL: 30 * time.Second},
			number,
			[]step{{29 * time.Second, "10.0.0.1:80", 1}, {58 * time.Second, "10.0.0.1:80", 1}, {60 * time.Second, "10.0.0.2:80", 2}},
		},
		{
			"stale while one query renews",
			Config{StaleTTL: time.Minute},
			number,
			[]step{{0, "10.0.0.1:80", 1}, {15 * time.Second, "10.0.0.1:80", 2}, {16 * time.Second, "10.0.0.2:80", 2}, {90 * time.Second, "10.0.0.3:80", 3}},
		},
		{
			"server failure keeps stale records to their end",
			Config{StaleTTL: time.Minute, ErrorTTL: 5 * time.Second},
			thenFail(2),
			[]step{
				{0, "10.0.0.1:80", 1},
				{15 * time.Second, "10.0.0.1:80", 2},
				{16 * time.Second, "10.0.0.1:80", 2}, // no second try within the error TTL
				{21 * time.Second, "10.0.0.1:80", 3},
				{70 * time.Second, "dns server error: 2 server failure", 4},
				{74 * time.Second, "dns server error: 2 server failure", 4},
				{75 * time.Second, "dns server error: 2 server failure", 5},
			},
		},
		{
			"an empty answer keeps stale records",
			Config{StaleTTL: time.Minute, ErrorTTL: time.Second, NotFoundTTL: time.Second},
			thenFail(0),
			[]step{{0, "10.0.0.1:80", 1}, {15 * time.Second, "10.0.0.1:80", 2}, {70 * time.Second, "dns client error: 101 empty record received", 3}},
		},
		{
			"no such name ends them",
			Config{StaleTTL: time.Minute, NotFoundTTL: 30 * time.Second},
			thenFail(3),
			[]step{
				{0, "10.0.0.1:80", 1},
				{15 * time.Second, "10.0.0.1:80", 2},
				{16 * time.Second, "dns server error: 3 name error", 2},
				{44 * time.Second, "dns server error: 3 name error", 2},
				{45 * time.Second, "dns server error: 3 name error", 3},
			},
		},
		{
			"nothing remembered",
			Config{},
			func(n int) (string, int) { return fmt.Sprintf("0 IN A 10.0.0.%d", n), 0 },
			[]step{{0, "10.0.0.1:80", 1}, {0, "10.0.0.2:80", 2}},
		},
		{
			"a TTL with the highest bit set is none",
			Config{},
			func(n int) (string, int) { return fmt.Sprintf("2147483648 IN A 10.0.0.%d", n), 0 },
			[]step{{0, "10.0.0.1:80", 1}, {0, "10.0.0.2:80", 2}},
		},
		{
			"a TTL of years is cut",
			Config{},
			func(n int) (string, int) { return fmt.Sprintf("2147483647 IN A 10.0.0.%d", n), 0 },
			[]step{{0, "10.0.0.1:80", 1}, {maxTTL - 1, "10.0.0.1:80", 1}, {maxTTL, "10.0.0.2:80", 2}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, asked := scripted(t, tt.c, tt.reply)
				defer r.Close()
				begin := time.Now()
				for _, s := range tt.steps {
					time.Sleep(s.at - time.Since(begin))
					if got := resolve(t, r, "a.test", 80); got != s.want {
						t.Errorf("at %v: got %s, want %s", s.at, got, s.want)
					}
					synctest.Wait()
					if got := asked.Load(); got != s.asked {
						t.Errorf("at %v: got %d questions, want %d", s.at, got, s.asked)
					}
				}
			})
		})
	}
}

// A server that shuffles its answers must not make us begin anew.
func TestTurnsGoOnOverRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Config{ResolvConf: os.DevNull, HostsFile: os.DevNull, Order: []string{"A"}}
		r, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		n := 0
		r.exchange = func(_ context.Context, name string, qtype uint16) (*dns.Msg, error) {
			m := new(dns.Msg).SetQuestion(name, qtype)
			for i := range 3 {
				rr, _ := dns.NewRR(fmt.Sprintf("%s 1 IN A 10.0.0.%d", name, (i+n)%3))
				m.Answer = append(m.Answer, rr)
			}
			n++
			return m, nil
		}
		for i := range 9 {
			if got, want := resolve(t, r, "a.test", 80), fmt.Sprintf("10.0.0.%d:80", i%3); i > 0 && got != want {
				t.Errorf("pick %d: got %s, want %s", i, got, want)
			}
			time.Sleep(1500 * time.Millisecond)
			if i == 0 {
				r.lookup(t.Context(), "a.test", r.now())
			}
		}
	})
}

func TestCacheIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, asked := scripted(t, Config{CacheSize: 10}, func(n int) (string, int) { return "3600 IN A 10.0.0.1", 0 })
		defer r.Close()
		for i := range 100 {
			resolve(t, r, fmt.Sprintf("n%d.test", i), 80)
			time.Sleep(time.Second)
			resolve(t, r, "n0.test", 80) // in constant use
		}
		if got := len(r.cache.shards[0].entries); got != 10 {
			t.Errorf("got %d names in the cache, want 10", got)
		}
		if got := asked.Load(); got > 105 {
			t.Errorf("got %d questions for 100 names: the one in use was evicted", got)
		}
	})
}
