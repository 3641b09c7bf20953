"""An ordinary gRPC client: calls every method of server.py at the address given, and says what came back."""
import sys
import threading

import grpc

with grpc.insecure_channel(sys.argv[1]) as channel:
    unary = channel.unary_unary("/cats.Asks/Hello")
    answer, call = unary.with_call(b"cat", timeout=20, metadata=(("x-client", "it"),))
    assert answer == b"hello cat", answer
    assert dict(call.trailing_metadata())["x-sum"] == str(sum(b"cat")), call.trailing_metadata()
    assert call.code() == grpc.StatusCode.OK

    for path, code in (("Refuse", grpc.StatusCode.FAILED_PRECONDITION), ("Missing", grpc.StatusCode.UNIMPLEMENTED)):
        try:
            channel.unary_unary("/cats.Asks/" + path)(b"", timeout=20)
            raise SystemExit(path + " was answered")
        except grpc.RpcError as error:
            assert error.code() == code, (path, error)
            assert path == "Missing" or error.details() == "not today", error.details()

    # A conversation: each message is sent when the one before was answered, so nothing may wait for the stream's end.
    turn = threading.Semaphore(1)

    def words():
        for word in (b"one", b"two", b"three"):
            assert turn.acquire(timeout=20)
            yield word

    heard = []
    for message in channel.stream_stream("/cats.Asks/Chat")(words(), timeout=20):
        heard.append(message)
        turn.release()
    assert heard == [b"0 one", b"1 two", b"2 three"], heard

    total = sum(len(piece) for piece in channel.unary_stream("/cats.Asks/Large")(b"", timeout=20))
    assert total == 6_400_000, total

    results = []
    threads = [threading.Thread(target=lambda n=n: results.append(unary(b"%d" % n, timeout=20))) for n in range(50)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert sorted(results) == sorted(b"hello %d" % n for n in range(50)), results
print("all calls answered")
