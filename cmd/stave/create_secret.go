package main

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
)

// secretFlags are those of `stave create secret`.
type secretFlags struct {
	Type     string `help:"secret generic: its type; Opaque when empty." placeholder:"TYPE"`
	Cert     string `help:"secret tls: file with the certificate, PEM." placeholder:"FILE"`
	Key      string `help:"secret tls: file with its key, PEM." placeholder:"FILE"`
	Server   string `name:"docker-server" help:"secret docker-registry: where the images are." default:"https://index.docker.io/v1/" placeholder:"URL"`
	Username string `name:"docker-username" help:"secret docker-registry: who pulls." placeholder:"NAME"`
	Password string `name:"docker-password" help:"secret docker-registry: the password; it is not kept with the events." placeholder:"TEXT"`
	Email    string `name:"docker-email" help:"secret docker-registry: an address." placeholder:"ADDRESS"`
}

// secret is what `stave create secret TYPE NAME` makes.
func (c *createCmd) secret(words []string) (events.Object, error) {
	if len(words) != 2 {
		return nil, errors.New("want a type and a name\nhelp: stave create secret generic NAME --from-literal=KEY=VALUE, secret tls NAME --cert=FILE --key=FILE, or secret docker-registry NAME --docker-username=… --docker-password=…")
	}
	o := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: words[1]}, Data: map[string][]byte{}}
	var err error
	switch words[0] {
	case "generic":
		o.Type = corev1.SecretType(c.Type)
		var data map[string]string
		data, err = c.data()
		for k, v := range data {
			o.Data[k] = []byte(v)
		}
	case "tls":
		o.Type = corev1.SecretTypeTLS
		err = c.pair(o.Data)
	case "docker-registry":
		o.Type = corev1.SecretTypeDockerConfigJson
		err = c.registry(o.Data)
	default:
		err = fmt.Errorf("a secret is created as generic, tls or docker-registry, not as %q", words[0])
	}
	return o, err
}

// pair reads a certificate and its key, and wants them to fit.
func (c *createCmd) pair(data map[string][]byte) error {
	if c.Cert == "" || c.Key == "" {
		return errors.New("a tls secret needs --cert and --key")
	}
	for at, file := range map[string]string{corev1.TLSCertKey: c.Cert, corev1.TLSPrivateKeyKey: c.Key} {
		b, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("read %s: %w", at, err)
		}
		data[at] = b
	}
	if _, err := tls.X509KeyPair(data[corev1.TLSCertKey], data[corev1.TLSPrivateKeyKey]); err != nil {
		return fmt.Errorf("%s and %s are no pair: %w", c.Cert, c.Key, err)
	}
	return nil
}

// registry writes what container runtimes read to log in to a registry.
func (c *createCmd) registry(data map[string][]byte) error {
	if c.Username == "" || c.Password == "" {
		return errors.New("a docker-registry secret needs --docker-username and --docker-password")
	}
	type login struct {
		Username string `json:"username"`
		Password string `json:"password"`
		Email    string `json:"email,omitempty"`
		Auth     string `json:"auth"`
	}
	b, err := json.Marshal(map[string]any{"auths": map[string]login{c.Server: {c.Username, c.Password, c.Email,
		base64.StdEncoding.EncodeToString([]byte(c.Username + ":" + c.Password))}}})
	data[corev1.DockerConfigJsonKey] = b
	return err
}
