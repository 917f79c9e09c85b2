package http1

import (
	"sync"
	"time"
)

// pool holds idle connections, for each address the one used last on top.
type pool struct {
	mu       sync.Mutex
	hosts    map[string]*[]*conn
	total    int
	sweeping bool // a sweep is scheduled; it is as long as there are connections
	closing  bool // closeAll was called and nobody asked for a connection since
}

// get returns a connection that is fit for use, or nil.
func (p *pool) get(addr string, idleTimeout time.Duration) *conn {
	for {
		c := p.pop(addr)
		if c == nil {
			return nil
		}
		if clock()-c.idleSince < idleTimeout && c.isQuiet() {
			return c
		}
		c.close()
	}
}

func (p *pool) pop(addr string) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closing = false
	idle := p.hosts[addr]
	if idle == nil || len(*idle) == 0 {
		return nil
	}
	last := len(*idle) - 1
	c := (*idle)[last]
	(*idle)[last] = nil
	*idle = (*idle)[:last]
	p.total--
	return c
}

// put keeps c, and closes what is too much.
func (p *pool) put(c *conn, maxPerHost, maxTotal int, idleTimeout time.Duration) {
	c.end()
	c.idleSince = clock()
	if tooMuch := p.push(c, maxPerHost, maxTotal, idleTimeout); tooMuch != nil {
		tooMuch.close()
	}
}

func (p *pool) push(c *conn, maxPerHost, maxTotal int, idleTimeout time.Duration) (tooMuch *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closing {
		return c
	}
	idle := p.hosts[c.addr]
	if idle == nil {
		idle = new([]*conn)
		if p.hosts == nil {
			p.hosts = map[string]*[]*conn{}
		}
		p.hosts[c.addr] = idle
	}
	if len(*idle) >= maxPerHost {
		return c
	}
	if maxTotal > 0 && p.total >= maxTotal {
		tooMuch = p.removeOldest()
	}
	*idle = append(*idle, c)
	p.total++
	if !p.sweeping {
		p.sweeping = true
		time.AfterFunc(idleTimeout, func() { p.sweep(idleTimeout) })
	}
	return tooMuch
}

func (p *pool) removeOldest() *conn {
	var oldest *[]*conn
	for _, idle := range p.hosts {
		if len(*idle) > 0 && (oldest == nil || (*idle)[0].idleSince < (*oldest)[0].idleSince) {
			oldest = idle
		}
	}
	if oldest == nil {
		return nil
	}
	c := (*oldest)[0]
	p.removeFirst(oldest, 1)
	return c
}

func (p *pool) removeFirst(idle *[]*conn, n int) {
	rest := copy(*idle, (*idle)[n:])
	clear((*idle)[rest:])
	*idle = (*idle)[:rest]
	p.total -= n
}

// sweep closes the connections whose time has come and forgets addresses without
// any. It schedules itself again while there are connections.
func (p *pool) sweep(idleTimeout time.Duration) {
	for _, c := range p.expired(idleTimeout) {
		c.close()
	}
}

func (p *pool) expired(idleTimeout time.Duration) (expired []*conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	limit := clock() - idleTimeout
	next := limit + 2*idleTimeout
	for addr, idle := range p.hosts {
		n := 0
		for n < len(*idle) && (*idle)[n].idleSince <= limit {
			n++
		}
		expired = append(expired, (*idle)[:n]...)
		p.removeFirst(idle, n)
		if len(*idle) == 0 {
			delete(p.hosts, addr)
			continue
		}
		next = min(next, (*idle)[0].idleSince+idleTimeout)
	}
	if p.sweeping = len(p.hosts) > 0; p.sweeping {
		// At most ten sweeps per idle time, however the ends lie.
		wait := max(next-clock(), idleTimeout/10)
		time.AfterFunc(wait, func() { p.sweep(idleTimeout) })
	}
	return expired
}

func (p *pool) closeAll() {
	p.mu.Lock()
	p.closing = true
	hosts := p.hosts
	p.hosts, p.total = nil, 0
	p.mu.Unlock()
	for _, idle := range hosts {
		for _, c := range *idle {
			c.close()
		}
	}
}
