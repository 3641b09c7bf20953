"""A gRPC server as an ordinary program writes one: a unary call, both streams, and an error. Bytes are their own messages."""
import os
import sys
from concurrent import futures

import grpc


def hello(request, context):
    context.set_trailing_metadata((("x-sum", str(sum(request))),))
    return b"hello " + request


def refuse(request, context):
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not today")


def chat(requests, context):
    for number, request in enumerate(requests):
        yield b"%d " % number + request


def large(request, context):
    for _ in range(64):
        yield b"x" * 100_000


server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
server.add_generic_rpc_handlers((
    grpc.method_handlers_generic_handler("cats.Asks", {
        "Hello": grpc.unary_unary_rpc_method_handler(hello),
        "Refuse": grpc.unary_unary_rpc_method_handler(refuse),
        "Chat": grpc.stream_stream_rpc_method_handler(chat),
        "Large": grpc.unary_stream_rpc_method_handler(large),
    }),
))
assert server.add_insecure_port("127.0.0.1:" + os.environ["PORT"])
server.start()
print("ready", flush=True)
sys.stdin.read()  # until whoever started it is gone
server.wait_for_termination()
