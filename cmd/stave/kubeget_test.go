package main

import (
	"context"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// kubeget asks the Kubernetes API for a path, as who is in the kubeconfig, and prints
// the answer. With -table it asks for what `kubectl get` prints; with -as it comes in
// with NAME.crt and NAME.key; with ! it wants a refusal.
//
//	[!] kubeget [-table] [-as NAME] PATH
func kubeget(ts *testscript.TestScript, neg bool, args []string) {
	accept := "application/json"
	if len(args) > 0 && args[0] == "-table" {
		accept, args = "application/json;as=Table;g=meta.k8s.io;v=v1", args[1:]
	}
	who := ""
	if len(args) > 1 && args[0] == "-as" {
		who, args = args[1], args[2:]
	}
	if len(args) != 1 {
		ts.Fatalf("usage: kubeget [-table] [-as NAME] PATH")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	body, err := kubeAPI(ts, who).Get().RequestURI(args[0]).SetHeader("Accept", accept).DoRaw(ctx)
	if neg != (err != nil) {
		ts.Fatalf("%s: %v\n%s", args[0], err, body)
	}
	_, err = ts.Stdout().Write(append(body, '\n'))
	ts.Check(err)
}

// kubesend sends a file to a path of the Kubernetes API by a method, as who is in the kubeconfig, and prints the answer; a
// PATCH is a strategic one. With ! it wants a refusal, and prints that.
//
//	[!] kubesend POST|PUT|PATCH PATH FILE
func kubesend(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: kubesend POST|PUT|PATCH PATH FILE")
	}
	form := map[string]string{"PATCH": string(types.StrategicMergePatchType)}[args[0]]
	if form == "" {
		form = "application/json"
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	body, err := kubeAPI(ts, "").Verb(args[0]).RequestURI(args[1]).SetHeader("Content-Type", form).Body([]byte(ts.ReadFile(args[2]))).DoRaw(ctx)
	if neg != (err != nil) {
		ts.Fatalf("%s %s: %v\n%s", args[0], args[1], err, body)
	}
	_, err = ts.Stdout().Write(append(body, '\n'))
	ts.Check(err)
}

func kubeAPI(ts *testscript.TestScript, who string) rest.Interface {
	config, err := clientcmd.BuildConfigFromFlags("", ts.Getenv("KUBECONFIG"))
	ts.Check(err)
	if who != "" {
		config.CertData, config.KeyData, config.CertFile, config.KeyFile = nil, nil, ts.MkAbs(who+".crt"), ts.MkAbs(who+".key")
	}
	c, err := kubernetes.NewForConfig(config)
	ts.Check(err)
	return c.RESTClient()
}
