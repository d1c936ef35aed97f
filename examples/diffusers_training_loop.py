"""diffusers' unconditional training example, examples/unconditional_image_generation/train_unconditional.py, in short.

The calls are the same, on digits that ship in a package. It trains DDPM; docs/diffusers.md shows the three lines that turn it,
and the original, into blurring diffusion.

    python examples/diffusers_training_loop.py --output_dir ddpm-digits
"""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel

from blurcore import find_kind
from blurcore.data import to_float


def parse_args():
    parser = argparse.ArgumentParser()
    parser.add_argument("--output_dir", default="ddpm-digits")
    parser.add_argument("--dataset", default="mnist", choices=("mnist", "digits", "photos"))
    parser.add_argument("--resolution", type=int, default=32)
    parser.add_argument("--num_steps", type=int, default=2000)
    parser.add_argument("--train_batch_size", type=int, default=32)
    parser.add_argument("--eval_batch_size", type=int, default=16)
    parser.add_argument("--learning_rate", type=float, default=1e-3)
    parser.add_argument("--prediction_type", default="epsilon", choices=("epsilon", "sample", "v_prediction"))
    parser.add_argument("--ddpm_num_steps", type=int, default=1000)
    parser.add_argument("--ddpm_num_inference_steps", type=int, default=250)
    parser.add_argument("--ddpm_beta_schedule", default="linear")
    return parser.parse_args()


def main(args):
    torch.manual_seed(0)
    data = find_kind(args.dataset, "data")(image_size=(args.resolution, args.resolution)).load()
    images = torch.from_numpy(to_float(data[:])).movedim(-1, 1).contiguous()  # (n, C, H, W) in [-1, 1]
    train_dataloader = torch.utils.data.DataLoader(
        images, batch_size=args.train_batch_size, shuffle=True, drop_last=True
    )

    channels = images.shape[1]
    model = UNet2DModel(
        sample_size=args.resolution,
        in_channels=channels,
        out_channels=channels,
        layers_per_block=1,
        block_out_channels=(16, 32, 64),
        norm_num_groups=8,
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
    )
    ema_model = EMAModel(model.parameters(), decay=0.995, model_cls=UNet2DModel, model_config=model.config)
    noise_scheduler = DDPMScheduler(
        num_train_timesteps=args.ddpm_num_steps,
        beta_schedule=args.ddpm_beta_schedule,
        prediction_type=args.prediction_type,
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.learning_rate)
    lr_scheduler = get_scheduler(
        "cosine", optimizer=optimizer, num_warmup_steps=args.num_steps // 10, num_training_steps=args.num_steps
    )

    step = 0
    while step < args.num_steps:
        for clean_images in train_dataloader:
            # Sample noise that we'll add to the images
            noise = torch.randn(clean_images.shape, device=clean_images.device)
            bsz = clean_images.shape[0]
            # Sample a random timestep for each image
            timesteps = torch.randint(
                0, noise_scheduler.config.num_train_timesteps, (bsz,), device=clean_images.device
            ).long()
            # Add noise to the clean images according to the noise magnitude at each timestep
            noisy_images = noise_scheduler.add_noise(clean_images, noise, timesteps)

            model_output = model(noisy_images, timesteps).sample
            if args.prediction_type == "epsilon":
                loss = F.mse_loss(model_output, noise)
            elif args.prediction_type == "sample":
                alpha_t = noise_scheduler.alphas_cumprod[timesteps].view(-1, 1, 1, 1)
                snr_weights = alpha_t / (1 - alpha_t)
                loss = (snr_weights * F.mse_loss(model_output, clean_images, reduction="none")).mean()
            else:
                loss = F.mse_loss(model_output, noise_scheduler.get_velocity(clean_images, noise, timesteps))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            lr_scheduler.step()
            optimizer.zero_grad()
            ema_model.step(model.parameters())
            step += 1
            if step % 100 == 0 or step == args.num_steps:
                print(f"step {step} loss {loss.item():.4f}", flush=True)
            if step == args.num_steps:
                break

    ema_model.copy_to(model.parameters())
    pipeline = DDPMPipeline(unet=model.eval(), scheduler=noise_scheduler)
    pipeline.save_pretrained(args.output_dir)
    generator = torch.Generator(device=pipeline.device).manual_seed(0)
    # run pipeline in inference (sample random noise and denoise)
    images = pipeline(
        generator=generator,
        batch_size=args.eval_batch_size,
        num_inference_steps=args.ddpm_num_inference_steps,
    ).images
    for i, image in enumerate(images):
        image.save(Path(args.output_dir) / f"sample_{i:02d}.png")
    print(f"pipeline and {len(images)} samples: {args.output_dir}")


if __name__ == "__main__":
    main(parse_args())
