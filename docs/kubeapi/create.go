package main

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
)

// How much is created: enough for a median that stands, and little enough to be over in a minute.
const (
	inTurn    = 1000
	atOnce    = 100
	eachWhile = 10 * time.Second
)

func dialer() *net.Dialer { return &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second} }

// configMap is of about 300 bytes, as those of docs/benchmarks.sh are.
func configMap(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"data": strings.Repeat("x", 200)}}
}

// create measures one client that creates one after the other.
func (s *server) create(ctx context.Context) error {
	c, err := s.client(runtime.ContentTypeProtobuf)
	if err != nil {
		return err
	}
	var each []time.Duration
	for i := range inTurn + inTurn/10 {
		began := time.Now()
		if _, err := c.CoreV1().ConfigMaps("default").Create(ctx, configMap(fmt.Sprintf("turn-%d", i)), metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("create: %w", err)
		}
		if i >= inTurn/10 { // the first ones warm it up
			each = append(each, time.Since(began))
		}
	}
	slices.Sort(each)
	s.say("create", each[len(each)/2].Seconds()*1000, "ms-p50")
	s.say("create", each[len(each)*99/100].Seconds()*1000, "ms-p99")
	return s.clear(ctx, c)
}

// together measures many clients that create at once, each over a connection of its own.
func (s *server) together(ctx context.Context) error {
	var done atomic.Int64
	var first error
	var once sync.Once
	var all sync.WaitGroup
	var one kubernetes.Interface
	until := time.Now().Add(eachWhile)
	for w := range atOnce {
		c, err := s.client(runtime.ContentTypeProtobuf)
		if err != nil {
			return err
		}
		one = c
		all.Go(func() {
			for i := 0; time.Now().Before(until); i++ {
				if _, err := c.CoreV1().ConfigMaps("default").Create(ctx, configMap(fmt.Sprintf("once-%d-%d", w, i)), metav1.CreateOptions{}); err != nil {
					once.Do(func() { first = fmt.Errorf("create: %w", err) })
					return
				}
				done.Add(1)
			}
		})
	}
	began := until.Add(-eachWhile)
	all.Wait()
	if first != nil {
		return first
	}
	s.say("together", float64(done.Load())/time.Since(began).Seconds(), "creates/s")
	return s.clear(ctx, one)
}

// clear takes away what was created, as far as it is nobody else's.
func (s *server) clear(ctx context.Context, c kubernetes.Interface) error {
	err := c.CoreV1().ConfigMaps("default").DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{FieldSelector: "metadata.name!=kube-root-ca.crt"})
	if err != nil {
		return fmt.Errorf("clear: %w", err)
	}
	return nil
}
