package node

import (
	"slices"
	"strings"
	"testing"

	"github.com/stave-run/stave/node/runtime"
)

func TestLoginsOfSecrets(t *testing.T) {
	for name, c := range map[string]struct {
		data map[string]string
		want []runtime.Login
		bad  string
	}{
		"as docker writes it": {map[string]string{".dockerconfigjson": `{"auths":{"https://index.docker.io/v1/":{"auth":"YW5uOnBhOnNz"},"quay.io":{"username":"bob","password":"x"}}}`},
			[]runtime.Login{{Server: "index.docker.io", Username: "ann", Password: "pa:ss"}, {Server: "quay.io", Username: "bob", Password: "x"}}, ""},
		"the old form":   {map[string]string{".dockercfg": `{"r.example.com:5000/":{"identitytoken":"t"}}`}, []runtime.Login{{Server: "r.example.com:5000", Token: "t"}}, ""},
		"no JSON":        {map[string]string{".dockerconfigjson": "hunter2"}, nil, "docker's configuration"},
		"something else": {map[string]string{"password": "hunter2"}, nil, "neither .dockerconfigjson nor .dockercfg"},
		"nobody logs in": {map[string]string{".dockerconfigjson": `{}`}, nil, ""},
	} {
		data := map[string][]byte{}
		for k, v := range c.data {
			data[k] = []byte(v)
		}
		got, err := loginsOf(data)
		if !slices.Equal(got, c.want) || (err == nil) != (c.bad == "") || err != nil && (!strings.Contains(err.Error(), c.bad) || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}
