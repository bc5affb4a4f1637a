package main

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
)

const (
	lists     = 10
	connected = 20              // connections that the watches share
	settle    = 5 * time.Second // until what was done before shows in no figure
	latest    = time.Minute     // until every watch has heard of a change
)

// list measures what listing pods costs the server, in each form: the first time, and each of many times after it. The pods are another scheduler's, so that nobody touches them.
func (s *server) list(ctx context.Context, pods int) error {
	if err := s.pods(ctx, pods); err != nil {
		return err
	}
	for _, form := range []string{runtime.ContentTypeJSON, runtime.ContentTypeProtobuf} {
		c, err := s.client(form)
		if err != nil {
			return err
		}
		for what, times := range []int{1, lists} {
			each, err := s.listed(ctx, c, times)
			if err != nil {
				return err
			}
			s.say([]string{"list-first-", "list-"}[what]+form, each, "CPU-ms")
		}
	}
	return nil
}

// listed is how many milliseconds of the server's CPU each of so many lists took.
func (s *server) listed(ctx context.Context, c kubernetes.Interface, times int) (float64, error) {
	time.Sleep(settle)
	before, err := s.cpu()
	if err != nil {
		return 0, err
	}
	for range times {
		body, err := c.CoreV1().RESTClient().Get().Namespace("default").Resource("pods").Stream(ctx)
		if err != nil {
			return 0, fmt.Errorf("list: %w", err)
		}
		if _, err := io.Copy(io.Discard, body); err != nil {
			return 0, fmt.Errorf("list: %w", err)
		}
		_ = body.Close() // it was read to its end
	}
	after, err := s.cpu()
	return (after - before).Seconds() * 1000 / float64(times), err
}

func (s *server) pods(ctx context.Context, pods int) error {
	c, err := s.client(runtime.ContentTypeProtobuf)
	if err != nil {
		return err
	}
	var next atomic.Int64
	var first error
	var once sync.Once
	var all sync.WaitGroup
	for range atOnce {
		all.Go(func() {
			for i := next.Add(1); i <= int64(pods); i = next.Add(1) {
				if _, err := c.CoreV1().Pods("default").Create(ctx, pod(fmt.Sprintf("pod-%d", i)), metav1.CreateOptions{}); err != nil {
					once.Do(func() { first = fmt.Errorf("create: %w", err) })
					return
				}
			}
		})
	}
	all.Wait()
	return first
}

func pod(name string) *corev1.Pod {
	no := false
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": "bench", "tier": "front"}},
		Spec: corev1.PodSpec{SchedulerName: "nobody", AutomountServiceAccountToken: &no, Containers: []corev1.Container{{Name: "app", Image: "registry.example/app:1.2.3",
			Ports: []corev1.ContainerPort{{ContainerPort: 8080}}, Env: []corev1.EnvVar{{Name: "MODE", Value: "production"}}}}}}
}

// watch measures what watches of one kind cost the server, and how long a change takes to reach all of them.
func (s *server) watch(ctx context.Context, watches int) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	time.Sleep(settle)
	before, err := s.memory()
	if err != nil {
		return err
	}
	open, err := s.open(ctx, watches)
	if err != nil {
		return err
	}
	time.Sleep(settle)
	after, err := s.memory()
	if err != nil {
		return err
	}
	s.say("watch", float64(after-before)/1024/float64(watches), "KB-each")
	return s.reach(ctx, open)
}

func (s *server) open(ctx context.Context, watches int) ([]watch.Interface, error) {
	open := make([]watch.Interface, 0, watches)
	for range connected {
		c, err := s.client(runtime.ContentTypeProtobuf)
		if err != nil {
			return nil, err
		}
		for range watches / connected {
			w, err := c.CoreV1().ConfigMaps("default").Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name!=kube-root-ca.crt"})
			if err != nil {
				return nil, fmt.Errorf("watch: %w", err)
			}
			open = append(open, w)
		}
	}
	return open, nil
}

// reach makes changes, and waits until every watch has heard of each.
func (s *server) reach(ctx context.Context, open []watch.Interface) error {
	c, err := s.client(runtime.ContentTypeProtobuf)
	if err != nil {
		return err
	}
	cost, err := s.cpu()
	if err != nil {
		return err
	}
	began := time.Now()
	for i := range lists {
		name := fmt.Sprintf("seen-%d", i)
		if _, err := c.CoreV1().ConfigMaps("default").Create(ctx, configMap(name), metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("create: %w", err)
		}
		if err := heard(open, name); err != nil {
			return err
		}
	}
	took := time.Since(began)
	spent, err := s.cpu()
	if err != nil {
		return err
	}
	s.say("change", took.Seconds()*1000/lists, "ms-until-all-have-it")
	s.say("change", (spent-cost).Seconds()*1000/lists, "CPU-ms")
	return s.clear(ctx, c)
}

func heard(open []watch.Interface, name string) error {
	late := time.After(latest)
	for _, w := range open {
		for found := false; !found; {
			select {
			case e, ok := <-w.ResultChan():
				if !ok {
					return fmt.Errorf("watch: one ended before it heard of %s", name)
				}
				m, is := e.Object.(*corev1.ConfigMap)
				found = is && m.Name == name
			case <-late:
				return fmt.Errorf("watch: one had not heard of %s after %s", name, latest)
			}
		}
	}
	return nil
}
