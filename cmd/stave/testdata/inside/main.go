// Command inside is a program in a pod that asks the Kubernetes API, with nothing
// but what a pod is given: client-go's own idea of being in a cluster.
//
//	inside          waits to be told
//	inside pods NS  the names of a namespace's pods
//	inside make NS  makes a ConfigMap
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typed "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
)

func main() {
	if len(os.Args) < 3 {
		time.Sleep(24 * time.Hour)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := ask(ctx, os.Args[1], os.Args[2]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func ask(ctx context.Context, what, namespace string) error {
	config, err := rest.InClusterConfig()
	if err != nil {
		return err
	}
	c, err := typed.NewForConfig(config)
	if err != nil {
		return err
	}
	if what == "make" {
		_, err := c.ConfigMaps(namespace).Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "made-inside"}}, metav1.CreateOptions{})
		return err
	}
	pods, err := c.Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, p := range pods.Items {
		fmt.Println(p.Name)
	}
	return nil
}
