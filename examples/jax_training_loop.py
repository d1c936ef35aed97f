"""The process in somebody's own JAX training loop: channels last, explicit keys, everything under jit."""

import jax
import jax.numpy as jnp
import optax

import blurcore as bc

process, axes = bc.BlurringDiffusion(), (1, 2)
images = jax.random.uniform(jax.random.key(0), (256, 16, 16, 1), minval=-1.0, maxval=1.0)  # your data, in [-1, 1]
params = {"kernel": jnp.zeros((5, 5, 2, 1)), "bias": jnp.zeros((1,))}  # your network, any f(z, t)
optimizer = optax.adam(1e-3)


def f(params, z, t):
    h = jnp.concatenate([z, jnp.broadcast_to(t[:, None, None, None], z.shape)], axis=-1)
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(h, params["kernel"], (1, 1), "SAME", dimension_numbers=layout) + params["bias"]


def loss_fn(params, x, key):
    time_key, noise_key = jax.random.split(key)
    t = bc.draw_times(jax.random.uniform(time_key, x.shape[:1]), "low_discrepancy")
    z, eps = bc.training_pair(process, x, t, jax.random.normal(noise_key, x.shape), axes=axes)
    return bc.simple_loss(f(params, z, t), eps).mean()


@jax.jit
def train_step(params, state, x, key):
    loss, grads = jax.value_and_grad(loss_fn)(params, x, key)
    updates, state = optimizer.update(grads, state)
    return optax.apply_updates(params, updates), state, loss


state = optimizer.init(params)
for step in range(100):
    key = jax.random.fold_in(jax.random.key(1), step)
    batch = images[jax.random.randint(key, (32,), 0, len(images))]
    params, state, loss = train_step(params, state, batch, key)
print(f"loss {loss:.3f}")
