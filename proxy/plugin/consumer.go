package plugin

import (
	"errors"
	"fmt"
	"net/http"

	"sidekong/configs/entity"
)

// Headers that tell the upstream who asks. Kong: kong/constants.lua HEADERS
const (
	headerConsumerID = "X-Consumer-Id"
	headerCustomID   = "X-Consumer-Custom-Id"
	headerUsername   = "X-Consumer-Username"
	headerCredential = "X-Credential-Identifier"
	headerAnonymous  = "X-Anonymous-Consumer"
)

// Identify says who asks and what proved it, and tells the upstream in headers; what a client wrote there itself goes.
// consumer may be nil: then the credential belongs to nobody that is known. A nil credential stands for the anonymous
// consumer. identifier is the credential's name in public. Plugins that run later are chosen by the consumer.
// Kong: kong/plugins/key-auth/handler.lua set_consumer
func (c *Context) Identify(consumer *entity.Consumer, credential any, identifier string) {
	c.Consumer, c.Credential = consumer, credential
	if consumer == nil {
		consumer = &entity.Consumer{}
	}
	h := c.Request.Header
	setOrClear(h, headerConsumerID, consumer.ID)
	setOrClear(h, headerCustomID, consumer.CustomID)
	setOrClear(h, headerUsername, consumer.Username)
	setOrClear(h, headerCredential, identifier)
	if credential == nil {
		h[headerAnonymous] = []string{"true"}
	} else {
		delete(h, headerAnonymous)
	}
}

func setOrClear(h http.Header, name, value string) {
	if value == "" {
		delete(h, name)
	} else {
		h[name] = []string{value}
	}
}

var errNoAnonymous = errors.New("the anonymous consumer does not exist")

// IdentifyAnonymous names the consumer that stands for whoever proves nothing, by its id or its username. Where there is
// none the request fails: Kong calls that an unexpected error.
func (c *Context) IdentifyAnonymous(directory Directory, name string) error {
	consumer, err := directory.Consumer(c, name, false)
	if err == nil && consumer == nil {
		consumer, err = directory.Consumer(c, name, true)
	}
	if err != nil {
		return fmt.Errorf("find anonymous consumer: %w", err)
	}
	if consumer == nil {
		return errNoAnonymous
	}
	c.Identify(consumer, nil, "")
	return nil
}

// RawQuery is the query that goes upstream as things stand, without the question mark.
func (c *Context) RawQuery() string {
	if c.Outgoing.Query != nil {
		return *c.Outgoing.Query
	}
	for i := range len(c.ForwardedURI) {
		if c.ForwardedURI[i] == '?' {
			return c.ForwardedURI[i+1:]
		}
	}
	return ""
}
