package node

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/node/runtime"
	"github.com/stave-run/stave/projections"
)

// fetch pulls an image, with the logins of the pod's Secrets where it has some.
func (w *worker) fetch(ctx context.Context, row *projections.DesiredPod, image string) (runtime.Image, error) {
	logins, missing, err := w.logins(ctx, row)
	if err != nil {
		return runtime.Image{}, err
	}
	img, err := w.a.o.Runtime.Pull(ctx, image, logins, w.a.pulling(image))
	if err != nil && len(missing) > 0 {
		err = fmt.Errorf("%w; of the imagePullSecrets these are of no use: %s", err, strings.Join(missing, ", "))
	}
	return img, err
}

// logins are those with which a pod's images may be pulled. missing names the
// Secrets that are not there, or hold no logins: as in Kubernetes the pull is tried
// all the same, and they are told when it fails.
func (w *worker) logins(ctx context.Context, row *projections.DesiredPod) (logins []runtime.Login, missing []string, err error) {
	if len(row.Pod.Spec.ImagePullSecrets) == 0 {
		return nil, nil, nil
	}
	plain, err := w.opened(ctx, row)
	if err != nil {
		return nil, nil, err
	}
	for _, ref := range row.Pod.Spec.ImagePullSecrets {
		secret, ok := plain.Secrets[ref.Name]
		if !ok {
			missing = append(missing, ref.Name+" (not found)")
			continue
		}
		found, err := loginsOf(secret.Data)
		if err != nil {
			missing = append(missing, ref.Name+" ("+err.Error()+")")
		}
		logins = append(logins, found...)
	}
	return logins, missing, nil
}

// dockerLogin is one entry of docker's configuration.
type dockerLogin struct {
	Username string `json:"username"`
	Password string `json:"password"`
	Auth     string `json:"auth"` // name:password in base64, in their place
	Token    string `json:"identitytoken"`
}

// loginsOf reads a Secret of one of the two types that docker's configuration has.
// No error repeats what is in it.
func loginsOf(data map[string][]byte) ([]runtime.Login, error) {
	var config struct {
		Auths map[string]dockerLogin `json:"auths"`
	}
	raw, whole := data[corev1.DockerConfigJsonKey]
	old, plain := data[corev1.DockerConfigKey]
	switch {
	case whole && json.Unmarshal(raw, &config) != nil, !whole && plain && json.Unmarshal(old, &config.Auths) != nil:
		return nil, fmt.Errorf("it does not read as docker's configuration")
	case !whole && !plain:
		return nil, fmt.Errorf("it holds neither %s nor %s", corev1.DockerConfigJsonKey, corev1.DockerConfigKey)
	}
	var out []runtime.Login
	for _, server := range slices.Sorted(maps.Keys(config.Auths)) {
		l := config.Auths[server]
		if both, err := base64.StdEncoding.DecodeString(l.Auth); err == nil && l.Auth != "" {
			l.Username, l.Password, _ = strings.Cut(strings.TrimRight(string(both), "\x00"), ":")
		}
		out = append(out, runtime.Login{Server: serverName(server), Username: l.Username, Password: l.Password, Token: l.Token})
	}
	return out, nil
}

// serverName takes what people write around a registry's name away:
// "https://index.docker.io/v1/" is index.docker.io.
func serverName(s string) string {
	s = strings.TrimPrefix(strings.TrimPrefix(s, "https://"), "http://")
	s = strings.TrimSuffix(s, "/")
	for _, version := range []string{"/v1", "/v2"} {
		s = strings.TrimSuffix(s, version)
	}
	return s
}
