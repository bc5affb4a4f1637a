package main

import (
	"context"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// kubeget asks the Kubernetes API for a path, as who is in the kubeconfig, and prints
// the answer. With -table it asks for what `kubectl get` prints; with ! it wants a
// refusal.
//
//	[!] kubeget [-table] PATH
func kubeget(ts *testscript.TestScript, neg bool, args []string) {
	accept := "application/json"
	if len(args) > 0 && args[0] == "-table" {
		accept, args = "application/json;as=Table;g=meta.k8s.io;v=v1", args[1:]
	}
	if len(args) != 1 {
		ts.Fatalf("usage: kubeget [-table] PATH")
	}
	config, err := clientcmd.BuildConfigFromFlags("", ts.Getenv("KUBECONFIG"))
	ts.Check(err)
	c, err := kubernetes.NewForConfig(config)
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	body, err := c.RESTClient().Get().RequestURI(args[0]).SetHeader("Accept", accept).DoRaw(ctx)
	if neg != (err != nil) {
		ts.Fatalf("%s: %v\n%s", args[0], err, body)
	}
	_, err = ts.Stdout().Write(append(body, '\n'))
	ts.Check(err)
}
