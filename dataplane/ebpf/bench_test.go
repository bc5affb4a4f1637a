package ebpf

import (
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/dataplane/plan"
)

// BenchmarkRequest is the CPU time of a short request (connect, ask, answer, close) from
// one pod to another, directly and by ClusterIP, in one run and in turns, so that what
// else the machine does hits them alike. Client and server are this process. The service is
// the only one, and one of 10,000.
func BenchmarkRequest(b *testing.B) {
	l := newLab(b)
	client, server := l.pod("a"), l.pod("b")
	for _, services := range []int{1, 10_000} {
		b.Run(fmt.Sprintf("services=%d", services), func(b *testing.B) {
			l.apply(append(crowd(services-1), web(0, server))...)
			must(b, inNetNS(client.ns, func() error {
				return compare(b, server.addrPort().String(), webIP+":80")
			}))
		})
	}
}

// compare tells what a request costs directly and by ClusterIP: medians over turns, and the
// median of each turn's ratio.
func compare(b *testing.B, direct, service string) error {
	const turn = 100
	var there, here, ratio []float64
	for i := 0; b.Loop(); i++ {
		var took [2]float64
		for j := range took { // who is first changes from turn to turn
			which := (i + j) % 2
			start := cpuTime(b)
			for range turn {
				if err := shortRequest([]string{direct, service}[which]); err != nil {
					return err
				}
			}
			took[which] = float64((cpuTime(b) - start).Nanoseconds()) / 1000 / turn
		}
		there, here, ratio = append(there, took[0]), append(here, took[1]), append(ratio, took[1]/took[0])
	}
	for unit, of := range map[string][]float64{"direct-cpu-µs/req": there, "clusterip-cpu-µs/req": here, "ratio": ratio} {
		slices.Sort(of)
		b.ReportMetric(of[len(of)/2], unit)
	}
	b.ReportMetric(0, "ns/op")
	return nil
}

// shortRequest is plain system calls, so that the figure is the kernel's and not that of
// the runtime's network poller.
func shortRequest(addr string) error {
	ap := netip.MustParseAddrPort(addr)
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	// Closed by a reset: thousands of ports in TIME_WAIT would soon leave none.
	if err := unix.SetsockoptLinger(s, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		return err
	}
	if err := unix.Connect(s, &unix.SockaddrInet4{Port: int(ap.Port()), Addr: ap.Addr().As4()}); err != nil {
		return err
	}
	if _, err := unix.Write(s, []byte("?\n")); err != nil {
		return err
	}
	_, err = unix.Read(s, make([]byte, 100))
	return err
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	must(b, unix.Getrusage(unix.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// crowd is n services with ten backends each that nobody calls.
func crowd(n int) []plan.Service {
	out := make([]plan.Service, n)
	for i := range out {
		p := plan.Port{Proto: plan.TCP, Port: 80}
		for j := range 10 {
			p.Endpoints = append(p.Endpoints, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 202, byte(i), byte(j)}), 80))
		}
		out[i] = plan.Service{Key: fmt.Sprintf("crowd/s%d", i), ClusterIP: netip.AddrFrom4([4]byte{10, 201, 100 + byte(i>>8), byte(i)}), Ports: []plan.Port{p}}
	}
	return out
}

// BenchmarkChange is one service's change of ten backends, among 10,000 others.
func BenchmarkChange(b *testing.B) {
	l := newLab(b)
	all := crowd(10_000)
	l.apply(all...)
	s := all[1234]
	full := s.Ports[0].Endpoints
	for i := 0; b.Loop(); i++ {
		// Nobody changes services a hundred thousand times a second; it fills the quarantine.
		if i%20_000 == 0 {
			b.StopTimer()
			time.Sleep(plan.Quarantine)
			b.StartTimer()
		}
		s.Ports = []plan.Port{{Proto: plan.TCP, Port: 80, Endpoints: full[i%2:]}}
		must(b, l.plane.Change([]plan.Service{s}, nil))
	}
}

// BenchmarkFromEmpty fills empty tables with 10,000 services of 100 backends: what is to be
// written, and the writing. The backends are in the order in which the network feed has them.
func BenchmarkFromEmpty(b *testing.B) {
	l := newLab(b)
	all := make([]plan.Service, 10_000)
	for i := range all {
		all[i] = hundred(i)
	}
	var took, cpu []time.Duration
	for b.Loop() {
		b.StopTimer()
		l.empty()
		runtime.GC()
		b.StartTimer()
		began, spent := time.Now(), cpuTime(b)
		l.apply(all...)
		took, cpu = append(took, time.Since(began)), append(cpu, cpuTime(b)-spent)
	}
	for unit, of := range map[string][]time.Duration{"ms/median": took, "cpu-ms/median": cpu} {
		slices.Sort(of)
		b.ReportMetric(float64(of[len(of)/2].Microseconds())/1000, unit)
	}
}

// empty takes all services out of the tables, and forgets what rests: nobody reads it.
func (l *lab) empty() {
	l.apply()
	l.plane.written = plan.New()
}

// hundred is a service with a hundred backends on any nodes, ordered as text.
func hundred(i int) plan.Service {
	p := plan.Port{Proto: plan.TCP, Port: 80}
	var names []string
	for j := range 100 {
		n := (i*100 + j) * 7919 % (1 << 20)
		names = append(names, fmt.Sprintf("10.%d.%d.%d:8080", 64+n>>16, n>>8&255, n&255))
	}
	slices.Sort(names)
	for _, n := range names {
		p.Endpoints = append(p.Endpoints, netip.MustParseAddrPort(n))
	}
	return plan.Service{Key: fmt.Sprintf("crowd/s%d", i), ClusterIP: netip.AddrFrom4([4]byte{10, 201, 100 + byte(i>>8), byte(i)}), Ports: []plan.Port{p}}
}
