package proxy

import (
	"fmt"
	"sync/atomic"

	"sidekong/configs/entity"
)

// detour names a service that is reached by another scheme than its own.
type detour struct {
	service *entity.Service
	scheme  string
}

// redirect lets plugins send the request elsewhere than its service says. What a runtime shares stays as it is: the
// request gets an upstream of its own.
func (x *exchange) redirect() error {
	x.up = x.place.upstream
	o := &x.ctx.Outgoing
	if o.Scheme == "" && o.TargetHost == "" && o.Upstream == "" && o.Retries == nil && o.ConnectTimeout == 0 &&
		o.WriteTimeout == 0 && o.ReadTimeout == 0 {
		return nil
	}
	up := *x.up
	if o.Scheme != "" && o.Scheme != up.service.Protocol {
		other, err := x.gw.detour(x.rt, up.service, o.Scheme)
		if err != nil {
			return err
		}
		up = *other
	}
	switch {
	case o.TargetHost != "":
		service := *up.service
		service.Host, service.Port = o.TargetHost, o.TargetPort
		up.service, up.balancer, up.last = &service, nil, new(atomic.Pointer[endpoint])
	case o.Upstream != "":
		r := x.rt.balancers[o.Upstream]
		if r == nil {
			return fmt.Errorf("upstream %q does not exist", o.Upstream)
		}
		up.balancer = r.balancer
	}
	if o.Retries != nil {
		up.retries = *o.Retries
	}
	if o.ConnectTimeout > 0 {
		up.connect = o.ConnectTimeout
	}
	if o.WriteTimeout > 0 {
		up.write = o.WriteTimeout
	}
	if o.ReadTimeout > 0 {
		up.read = o.ReadTimeout
	}
	x.up = &up
	return nil
}

// detour gives a service reached by another scheme. It is made once for a runtime, which closes its connections.
func (g *Gateway) detour(rt *runtime, service *entity.Service, scheme string) (*upstream, error) {
	rt.opened.Lock()
	defer rt.opened.Unlock()
	key := detour{service, scheme}
	if up := rt.detours[key]; up != nil {
		return up, nil
	}
	other := *service
	other.Protocol = scheme
	up, err := g.upstream(rt, rt.snapshot, &other)
	if err != nil {
		return nil, fmt.Errorf("service %s by %s: %w", service.ID, scheme, err)
	}
	if up == nil {
		return nil, fmt.Errorf("scheme %q is none of HTTP", scheme)
	}
	if rt.detours == nil {
		rt.detours = map[detour]*upstream{}
	}
	rt.detours[key] = up
	return up, nil
}
