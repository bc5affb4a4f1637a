#!/bin/sh
# The first process on the guest's disk: mounts what a system has, runs the programs of /guest/plan, and turns itself off.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev 2>/dev/null
mkdir -p /dev/pts /dev/shm
mount -t devpts -o mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t tmpfs -o mode=755 run /run
ln -sf /proc/self/fd /dev/fd
ln -sf /proc/self/fd/0 /dev/stdin
ln -sf /proc/self/fd/1 /dev/stdout
ln -sf /proc/self/fd/2 /dev/stderr
for module in overlay veth sch_ingress cls_bpf; do modprobe "$module" || echo "guest: no module $module"; done
mount -t bpf bpf /sys/fs/bpf
case "$(cat /guest/cgroups)" in
unified)
	mount -t cgroup2 cgroup2 /sys/fs/cgroup
	;;
hybrid)
	mount -t tmpfs -o mode=755 cgroups /sys/fs/cgroup
	for controller in cpuset cpu cpuacct blkio memory devices freezer pids; do
		mkdir "/sys/fs/cgroup/$controller"
		mount -t cgroup -o "$controller" cgroup "/sys/fs/cgroup/$controller"
	done
	mkdir /sys/fs/cgroup/systemd /sys/fs/cgroup/unified
	mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
	mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
	;;
esac
ip link set lo up
hostname guest
echo "guest: $(uname -sr), cgroups $(cat /guest/cgroups), up after $(cut -d' ' -f1 /proc/uptime) s"
while read -r name dir args; do
	echo "guest: begin $name"
	(cd "/guest/tests/$dir" && eval "exec /guest/bin/$name $args" </dev/null 2>&1)
	echo "guest: end $name $?"
done </guest/plan
sync
poweroff -f
