#!/busybox sh
# The first process of the initial RAM disk: just enough to mount the disk.
/busybox mount -t devtmpfs dev /dev
while read module; do /busybox insmod "/$module"; done </modules
/busybox mount -t ext4 /dev/vda /root || exec /busybox sh
exec /busybox switch_root /root /guest/init
