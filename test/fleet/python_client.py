"""A client that shares no line with ours: Debian's grpcio and protobuf. Reads its orders from standard input, prints JSON."""

import json
import sys

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

orders = json.load(sys.stdin)
files = descriptor_pb2.FileDescriptorSet.FromString(bytes.fromhex(orders["descriptors"]))
pool = descriptor_pool.DescriptorPool()
for file in files.file:
    pool.Add(file)
factory = message_factory.MessageFactory(pool)


def message(name):
    return factory.GetPrototype(pool.FindMessageTypeByName("nest.v1." + name))


def secrets(name):
    return orders[name].encode() if orders[name] else None


credentials = grpc.ssl_channel_credentials(secrets("root"), secrets("key"), secrets("certificate"))
channel = grpc.secure_channel(orders["address"], credentials, [("grpc.ssl_target_name_override", orders["server_name"])])


def call(service, method, request, response, fields, timeout=10):
    invoke = channel.unary_unary(
        "/nest.v1.%s/%s" % (service, method),
        request_serializer=lambda value: value.SerializeToString(),
        response_deserializer=message(response).FromString,
    )
    return invoke(message(request)(**fields), timeout=timeout)


answers = {}
try:
    hello = call("SessionService", "Hello", "HelloRequest", "HelloResponse", {"console_version": "python", "time_ms": 1})
    answers["hello"] = {"agent_id": hello.agent_id, "fleet_id": hello.fleet_id, "subject": hello.subject}
    host = call("HostService", "GetHost", "GetHostRequest", "GetHostResponse", {})
    answers["host"] = {"host_name": host.facts.host_name, "interfaces": [entry.name for entry in host.status.interfaces]}
    watch = channel.unary_stream(
        "/nest.v1.HostService/WatchStatus",
        request_serializer=lambda value: value.SerializeToString(),
        response_deserializer=message("WatchStatusResponse").FromString,
    )(message("WatchStatusRequest")(), timeout=10)
    answers["statuses"] = [next(watch).position.sequence, next(watch).position.sequence]
    watch.cancel()
    call("ConfigService", "ConfirmConfig", "ConfirmConfigRequest", "ConfirmConfigResponse", {"revision": 7, "transaction_id": "abcdefgh"})
except grpc.RpcError as error:
    answers["error"] = {"status": error.code().name, "details": error.details()}
print(json.dumps(answers))
