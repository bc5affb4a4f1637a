package main

import (
	"context"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// How long the lead of a candidate lasts. One that cannot renew gives up long
// before another may follow: the machine may be busy.
const (
	leadLife  = 9 * time.Second
	leadRenew = 4 * time.Second
	leadRetry = 300 * time.Millisecond
)

// elect has two candidates run for the lead, by client-go's leader election, while
// the cluster's process is killed and started again; no two may lead at a time.
// Then who leads leaves without a word, and the other has to follow:
//
//	elect ROUNDS
func elect(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: elect ROUNDS")
	}
	rounds, err := strconv.Atoi(args[0])
	ts.Check(err)
	config, err := clientcmd.BuildConfigFromFlags("", ts.Getenv("KUBECONFIG"))
	ts.Check(err)
	var e election
	one, two := e.run(ts, config, "one"), e.run(ts, config, "two")
	defer one()
	defer two()
	e.await(ts, "somebody leads", func() bool { return e.leads.Load() == 1 })
	for range rounds {
		ts.Check(die(ts.Getenv("CLUSTER"), syscall.SIGKILL))
		riseAgain(ts)
		terms := e.renewed(ts, config)
		e.await(ts, "the lease is renewed after the death", func() bool { return e.renewed(ts, config).After(terms) })
	}
	leaves, follows := one, "two"
	if e.leader.Load() == "two" {
		leaves, follows = two, "one"
	}
	leaves()
	e.await(ts, "the other follows", func() bool { return e.leads.Load() == 1 && e.leader.Load() == follows })
	if e.twice.Load() {
		ts.Fatalf("two led at a time")
	}
}

func riseAgain(ts *testscript.TestScript) {
	self, err := os.Executable()
	ts.Check(err)
	d := &deadly{ts: ts}
	out, err := d.stave(self, "", "up", "--detach", "--name="+ts.Getenv("CLUSTER"), "--data-dir="+ts.Getenv("DATA"), "--registry-hosts="+ts.Getenv("HOSTS"))
	if err != nil {
		ts.Fatalf("up: %v\n%s", err, out)
	}
}

// election is what candidates do.
type election struct {
	leads  atomic.Int32
	leader atomic.Value
	twice  atomic.Bool
}

// run is a candidate until stop is called.
func (e *election) run(ts *testscript.TestScript, config *rest.Config, name string) (stop func()) {
	c, err := kubernetes.NewForConfig(config)
	ts.Check(err)
	lock := &resourcelock.LeaseLock{LeaseMeta: metav1.ObjectMeta{Namespace: "default", Name: "lead"}, Client: c.CoordinationV1(), LockConfig: resourcelock.ResourceLockConfig{Identity: name}}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		for ctx.Err() == nil { // who lost the lead runs again
			leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{Lock: lock, LeaseDuration: leadLife, RenewDeadline: leadRenew, RetryPeriod: leadRetry,
				Callbacks: leaderelection.LeaderCallbacks{OnStartedLeading: func(ctx context.Context) { e.lead(ctx, name) }, OnStoppedLeading: func() {}}})
		}
	})
	return func() { cancel(); done.Wait() }
}

func (e *election) lead(ctx context.Context, name string) {
	if e.leads.Add(1) > 1 {
		e.twice.Store(true)
	}
	e.leader.Store(name)
	<-ctx.Done()
	e.leads.Add(-1)
}

func (e *election) await(ts *testscript.TestScript, what string, holds func() bool) {
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if e.twice.Load() {
			ts.Fatalf("two lead at a time")
		}
		if holds() {
			return
		}
	}
	ts.Fatalf("never: %s", what)
}

// renewed is when the lease was renewed last, as it says itself.
func (e *election) renewed(ts *testscript.TestScript, config *rest.Config) time.Time {
	c, err := kubernetes.NewForConfig(config)
	ts.Check(err)
	l, err := c.CoordinationV1().Leases("default").Get(context.Background(), "lead", metav1.GetOptions{})
	if err != nil || l.Spec.RenewTime == nil {
		return time.Time{}
	}
	return l.Spec.RenewTime.Time
}
