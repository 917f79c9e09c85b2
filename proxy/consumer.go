package proxy

import (
	"sidekong/configs/entity"
)

// consumerHeaders are what a Kong tells the upstream about who asks. Kong: kong/constants.lua HEADERS
var consumerHeaders = []string{
	"X-Consumer-Id", "X-Consumer-Custom-Id", "X-Consumer-Username", "X-Credential-Identifier", "X-Anonymous-Consumer",
}

// nameConsumer believes the Kong in front of us, a trusted peer, about who asks: plugins for that consumer run and its
// spans name it. What anybody else says of it goes no further.
func (x *exchange) nameConsumer() error {
	h := x.r.Header
	if !x.peer.trusted {
		for _, name := range consumerHeaders {
			delete(h, name)
		}
		return nil
	}
	told := &entity.Consumer{
		Meta: entity.Meta{ID: first(h, "X-Consumer-Id")}, Username: first(h, "X-Consumer-Username"), CustomID: first(h, "X-Consumer-Custom-Id"),
	}
	if told.ID == "" && told.Username != "" {
		known, err := x.rt.directory.Consumer(&x.ctx, told.Username, true)
		if err != nil {
			return err
		}
		if known != nil {
			told = known
		}
	}
	if told.ID != "" || told.Username != "" {
		x.ctx.Consumer = told
	}
	return nil
}
