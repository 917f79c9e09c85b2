package proxy

import (
	"sidekong/configs"
	"sidekong/configs/entity"
	"sidekong/proxy/plugin"
)

// directory finds a snapshot's consumers and credentials.
type directory struct {
	snapshot  *configs.Snapshot
	usernames map[string]*entity.Consumer
	keys      map[string]*entity.KeyAuthCredential
	basic     map[string]*entity.BasicAuthCredential
}

func newDirectory(snapshot *configs.Snapshot) *directory {
	d := &directory{
		snapshot:  snapshot,
		usernames: make(map[string]*entity.Consumer, len(snapshot.Consumers)),
		keys:      make(map[string]*entity.KeyAuthCredential, len(snapshot.KeyAuth)),
		basic:     make(map[string]*entity.BasicAuthCredential, len(snapshot.BasicAuth)),
	}
	for _, c := range snapshot.Consumers {
		if c.Username != "" {
			d.usernames[c.Username] = c
		}
	}
	for _, c := range snapshot.KeyAuth {
		d.keys[c.Key] = c
	}
	for _, c := range snapshot.BasicAuth {
		d.basic[c.Username] = c
	}
	return d
}

func (d *directory) Consumer(_ *plugin.Context, id string, byName bool) (*entity.Consumer, error) {
	if byName {
		return d.usernames[id], nil
	}
	c, _ := d.snapshot.Consumer(id)
	return c, nil
}

func (d *directory) KeyAuth(_ *plugin.Context, key string) (*entity.KeyAuthCredential, error) {
	return d.keys[key], nil
}

func (d *directory) BasicAuth(_ *plugin.Context, username string) (*entity.BasicAuthCredential, error) {
	return d.basic[username], nil
}
