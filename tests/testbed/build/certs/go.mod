module testbed/certs

go 1.26
